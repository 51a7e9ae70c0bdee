"""What is approved was seen: no key and no click decides a card that nobody can have looked at, or only a part of it."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Open, Site, ready

pytestmark = [pytest.mark.browser]
ASKS = {"human_in_the_loop": True, "permission_mode": "approval"}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1280, "height": 800}}
HELD = 80  # times that a keyboard repeats a key that is held for four seconds


def decided(site: Site, requests: list[str]) -> int:
    return sum(site.call("GET", f"/approvals/{each}")["status"] != "pending" for each in requests)


def wholly_seen(part: Locator) -> None:
    expect(part).to_be_in_viewport(ratio=0.99)


def test_a_key_that_is_held_approves_one_request(site: Site, look: Open) -> None:
    requests = [site.waiting(f"number {n} [pause]")[1] for n in range(8)]
    page = look("ana", "/?kind=approval")
    ready(page)
    for _ in range(HELD):
        page.keyboard.down("a")  # the second and all later ones are repeats
        page.wait_for_timeout(50)
    page.keyboard.up("a")
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    ready(page)
    assert decided(site, requests) == 1


def test_a_key_for_the_card_before_does_not_decide_the_next(site: Site, look: Open) -> None:
    requests = [site.waiting(f"number {n} [pause]")[1] for n in range(3)]
    page = look("ana")
    ready(page)
    page.evaluate("""() => {
        const press = () => document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true }));
        document.body.addEventListener("htmx:afterSettle", press, { once: true });
        press();
    }""")
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    expect(page.locator("[data-hint]")).to_contain_text("too quick")
    ready(page)
    assert decided(site, requests) == 1


def test_a_double_click_decides_once(site: Site, look: Open) -> None:
    requests = [site.waiting(f"number {n} [pause]")[1] for n in range(3)]
    page = look("ana")
    ready(page)
    page.get_by_role("button", name="Approve").dblclick()
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    ready(page)
    assert decided(site, requests) == 1


def test_a_click_on_a_card_that_has_just_come_decides_nothing(site: Site, look: Open) -> None:
    requests = [site.waiting(f"number {n} [pause]")[1] for n in range(2)]
    page = look("ana")
    ready(page)
    page.evaluate("""() => {
        const press = () => document.querySelector("[data-approves]").click();
        document.body.addEventListener("htmx:afterSettle", press, { once: true });
        press();
    }""")
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    ready(page)
    assert decided(site, requests) == 1


def test_what_spends_money_takes_a_second_key(site: Site, look: Open) -> None:
    run_id, request = site.waiting("[spend] [steps:1]", **ASKS)
    page = look("ana")
    ready(page)
    for _ in range(3):
        page.keyboard.press("a")
    expect(page.locator("[data-hint]")).to_have_text("It spends money. Press y to approve it, Escape to leave it.")
    page.keyboard.press("Escape")
    page.keyboard.press("y")
    assert decided(site, [request]) == 0
    page.keyboard.press("a")
    page.keyboard.press("y")
    site.reaches(run_id, "succeeded")


def test_what_spends_money_takes_one_click(site: Site, look: Open) -> None:
    run_id, _ = site.waiting("[spend] [steps:1]", **ASKS)
    page = look("ana")
    ready(page)
    page.get_by_role("button", name="Approve").click()
    site.reaches(run_id, "succeeded")


@pytest.mark.parametrize("by", ["key", "click"])
def test_a_long_text_is_read_to_its_end_first(site: Site, look: Open, by: str) -> None:
    run_id, request = site.waiting("[type:6000] [steps:2]", **ASKS)
    site.call("POST", f"/approvals/{request}/decide", {"verdict": "approve"})
    site.reaches(run_id, "awaiting_human")
    request = site.call("GET", f"/runs/{run_id}")["open_approvals"][0]
    page = look("ana", f"/approvals/{request}", **DESK)
    button, box = page.get_by_role("button", name="Approve"), page.get_by_role("group", name="Value of text")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(page.get_by_text("Not all of it was on the screen yet.")).to_be_visible()
    presses = 0
    while button.get_attribute("data-unread") is not None:
        ready(page)
        page.keyboard.press("a") if by == "key" else button.click(force=True)
        presses += 1
        assert presses < 30
    assert presses > 1
    assert box.evaluate("box => box.scrollTop + box.clientHeight >= box.scrollHeight - 5")
    assert decided(site, [request]) == 0
    ready(page)
    page.keyboard.press("a") if by == "key" else button.click(force=True)
    site.reaches(run_id, "succeeded")


def test_who_scrolls_through_the_text_needs_no_more_keys(site: Site, look: Open) -> None:
    run_id, request = site.waiting("[type:3000] [steps:2]", **ASKS)
    site.call("POST", f"/approvals/{request}/decide", {"verdict": "approve"})
    site.reaches(run_id, "awaiting_human")
    request = site.call("GET", f"/runs/{run_id}")["open_approvals"][0]
    page = look("ana", f"/approvals/{request}", **DESK)
    ready(page)
    page.get_by_role("group", name="Value of text").hover()
    button = page.get_by_role("button", name="Approve")
    expect(button).to_have_attribute("aria-disabled", "true")
    for _ in range(40):
        page.mouse.wheel(0, 120)
        page.wait_for_function(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => true)"
        )
    expect(button).not_to_have_attribute("aria-disabled", "true")
    ready(page)
    page.keyboard.press("a")
    site.reaches(run_id, "succeeded")


def test_to_jump_to_the_end_is_not_to_read(site: Site, look: Open) -> None:
    run_id, request = site.waiting("[type:20000] [steps:2]", **ASKS)
    site.call("POST", f"/approvals/{request}/decide", {"verdict": "approve"})
    site.reaches(run_id, "awaiting_human")
    page = look("ana", "/", **DESK)
    expect(page.get_by_text("20,000 characters; scroll to read it all.")).to_be_visible()
    page.get_by_role("group", name="Value of text").evaluate("box => { box.scrollTop = box.scrollHeight; }")
    page.wait_for_function(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => true)"
    )
    expect(page.get_by_role("button", name="Approve")).to_have_attribute("aria-disabled", "true")


KINDS = [
    ("[pause]", {}), ("[steps:1]", ASKS), ("[spend] [steps:1]", ASKS), ("[question]", {}), ("[input]", {}), ("[secret]", {}),
    ("[takeover]", {}), ("move", ASKS | {"permission_mode": "plan"}), ("[steps:3]", {"budget_cents": 8, "on_budget": "ask"}),
]  # fmt: skip


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["1280x800", "390x844"])
def test_title_values_and_buttons_are_on_the_screen_for_every_kind(
    site: Site, look: Open, screen: dict[str, object]
) -> None:
    asked = [site.waiting(f"kind {n} {task}", **more)[1] for n, (task, more) in enumerate(KINDS)]
    page = look("ana", **screen)
    for request in asked:
        page.goto(f"/?open={request}")
        ready(page)
        bar = page.locator("[data-bar]")
        for part in [*page.locator("[data-card] [data-read]").all(), bar]:
            wholly_seen(part)
        expect(bar.locator("[data-unread-words]")).to_be_hidden()
        bottom = (bar.bounding_box() or {})["y"]
        for part in page.locator("[data-card] [data-read]").all():
            box = part.bounding_box() or {}
            assert box["y"] + box["height"] <= bottom + 1, part.get_attribute("data-read")


def test_on_a_phone_a_row_and_a_button_are_two_taps(site: Site, look: Open) -> None:
    run_id, request = site.waiting("tap me [steps:1]", **ASKS)
    page = look("ana", "/", **PHONE)
    page.locator(f"#open-{request}").tap()
    button = page.get_by_role("button", name="Approve")
    expect(button).to_be_in_viewport(ratio=1)
    ready(page)
    box = button.bounding_box() or {}
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    site.reaches(run_id, "succeeded")


def test_the_picture_is_small_and_shows_the_place_of_a_click_at_its_real_size(site: Site, look: Open) -> None:
    _, request = site.waiting("[steps:1]", **ASKS)
    page = look("ana", f"/approvals/{request}", **DESK)
    crop = page.locator(".crop")
    box = crop.bounding_box() or {}
    assert box["height"] <= 260
    scale = crop.evaluate("svg => svg.getScreenCTM().a")
    assert scale == pytest.approx(1, abs=0.02)
    ring = crop.locator("circle").last.bounding_box() or {}
    middle = (ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2)
    assert middle == pytest.approx((box["x"] + box["width"] / 2, box["y"] + box["height"] / 2), abs=3)
    at_side = crop.locator("circle").last.evaluate("""ring => {
        const at = (share) => ring.getPointAtLength(ring.getTotalLength() * share);
        return [0, 0.25, 0.5, 0.75].map((share) => ring.isPointInStroke(at(share)));
    }""")
    assert at_side == [False, True, False, True]  # open where the word lies
    crop.click()
    expect(page.locator(".picture .shot img")).to_be_visible()
    expect(crop).to_be_hidden()


def test_other_pictures_are_small_until_they_are_opened(site: Site, look: Open) -> None:
    _, request = site.waiting("[pause]")
    page = look("ana", f"/approvals/{request}", **DESK)
    shot = page.locator(".picture .shot img")
    assert (shot.bounding_box() or {})["height"] <= 260
    page.get_by_text("Show it larger").click()
    assert (shot.bounding_box() or {})["height"] > 300


def test_the_buttons_work_without_scripts(site: Site, look: Open) -> None:
    run_id, request = site.waiting("[type:6000] [steps:1]", **ASKS)
    page = look("ana", f"/approvals/{request}", java_script_enabled=False, **DESK)
    button = page.get_by_role("button", name="Approve")
    expect(button).to_be_enabled()
    button.click()
    expect(page.locator(".card")).to_contain_text("Approved by you")
    site.reaches(run_id, "succeeded")


def test_a_screen_reader_is_told_why_approve_waits(site: Site, look: Open) -> None:
    run_id, request = site.waiting("[type:6000] [steps:2]", **ASKS)
    site.call("POST", f"/approvals/{request}/decide", {"verdict": "approve"})
    site.reaches(run_id, "awaiting_human")
    page: Page = look("ana", "/", **DESK)
    expect(page.get_by_role("button", name="Approve")).to_have_accessible_description(
        re.compile("Not all of it was on the screen yet")
    )


def test_the_next_card_is_shown_from_its_beginning(site: Site, look: Open) -> None:
    for number in range(3):
        site.waiting(f"number {number} [pause]")
    page = look("ana", "/", viewport={"width": 1280, "height": 500})
    ready(page)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    card = page.locator("[data-card]").get_attribute("data-card")
    page.keyboard.press("a")
    page.locator(f"[data-card='{card}']").wait_for(state="detached")
    expect(page.locator(".card-title")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["1280x800", "390x844"])
def test_what_is_approved_together_was_shown_in_full(site: Site, look: Open, screen: dict[str, object]) -> None:
    asked = []
    for number in range(6):
        run_id, first = site.waiting(f"together {number} [type:1500] [steps:2]", **ASKS)
        site.call("POST", f"/approvals/{first}/decide", {"verdict": "approve"})
        site.reaches(run_id, "awaiting_human")
        asked += site.call("GET", f"/runs/{run_id}")["open_approvals"]
    page = look("ana", "/together?" + "&".join(f"id={each}" for each in asked), **screen)
    button = page.get_by_role("button", name="Approve all 6")
    expect(button).to_be_in_viewport()
    expect(button).to_have_attribute("aria-disabled", "true")
    assert button.evaluate("button => button.scrollWidth <= button.clientWidth")  # its words have room beside the hint
    presses = 0
    while button.get_attribute("data-unread") is not None:
        ready(page)
        button.click(force=True)
        presses += 1
        assert decided(site, asked) == 0
        assert presses < 80
    assert presses
    ready(page)
    button.click()
    expect(page.locator(".messages[role=status]")).to_contain_text("6 requests approved.")
    assert decided(site, asked) == 6


def test_each_sort_that_is_decided_together_stands_for_itself(site: Site, look: Open) -> None:
    asked = [site.waiting(f"sort {n} {task}", **more)[1] for n, (task, more) in enumerate(KINDS[:3])]
    page = look("ana", "/together?" + "&".join(f"id={each}" for each in asked), **DESK)
    bar = page.locator(f"form:has([value={asked[2]}]) [data-bar]")
    bar.and_(page.locator("[data-ready]")).wait_for()
    button = bar.get_by_role("button", name="Approve")
    while button.get_attribute("data-unread") is not None:
        button.click(force=True)
        bar.and_(page.locator("[data-ready]")).wait_for()
    button.click()
    expect(page.locator(".messages[role=status]")).to_contain_text("approved.")
    assert site.call("GET", f"/approvals/{asked[2]}")["status"] != "pending"
    assert site.call("GET", f"/approvals/{asked[0]}")["status"] == "pending"
