"""What programs outside ask, decided by people in a real Chromium."""

import base64
import io
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.conftest import Open, Site, ready, say_yes
from tests.browser.test_axe import LOOKS, complaints
from tests.browser.test_pages_in_chromium import PHONE, _overflow

pytestmark = [pytest.mark.browser]
REFUND = {
    "name": "shop.refund",
    "params": {"order": 1042, "amount": 12.5, "lines": [{"sku": "A-1"}]},
    "host": "shop.test",
}
QUESTION = [{"question": "Which tone?", "options": [{"label": "Warm (Recommended)"}, {"label": "Dry"}]}]
SCHEMA = {"type": "object", "properties": {"e-mail": {"type": "string"}}, "required": ["e-mail"]}
KINDS: tuple[dict[str, Any], ...] = (
    {"kind": "approval", "title": "Deploy 4f2a1c9?", "action": {"name": "deploy", "params": {"commit": "4f2a1c9"}}},
    {"kind": "tool", "title": "Refund order 1042", "action": REFUND | {"risk": "spend"}, "message": "He wrote twice."},
    {"kind": "tool", "title": "Refund order 7", "action": REFUND | {"risk": "write"}},
    {"kind": "question", "title": "About the newsletter", "questions": QUESTION},
    {"kind": "input", "title": "Data for the invoice", "input_schema": SCHEMA},
)  # fmt: skip


def picture(width: int = 640, height: int = 400) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "#26a").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def evidence() -> dict[str, Any]:
    links = [{"label": "The order", "url": "https://shop.test/orders/1042"}]
    return {"pictures": [picture(), picture(300, 900)], "links": links}


def test_a_request_comes_by_itself_is_approved_and_the_program_goes_on(site: Site, look: Open) -> None:
    page = look("ana")
    expect(page.get_by_role("heading", name="Nothing waits for you")).to_be_visible()
    request = site.ask(**KINDS[1], evidence=evidence())
    expect(page.locator(f"#row-{request}")).to_contain_text("“Refund order 1042”")
    expect(page.locator("[data-card]")).to_contain_text("The program’s own words")
    expect(page).to_have_title("(1) Queue · Countersign")
    say_yes(page)
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    decided = site.call("GET", f"/approvals/{request}")
    assert (decided["status"], decided["decision"]["verdict"]) == ("approved", "approve")
    site.call("PUT", f"/approvals/{request}/result", {"outcome": "executed", "text": "Refunded."})
    expect(page.locator(".receipt-line")).to_contain_text("The program says: carried out")
    expect(page.locator(".receipt-line")).to_contain_text("Refunded.")


def test_a_rejection_reaches_the_program_with_its_reason(site: Site, look: Open) -> None:
    request = site.ask(**KINDS[0])
    page = look("ana", f"/approvals/{request}")
    ready(page)
    page.keyboard.press("r")
    page.get_by_label("Reason").fill("Not on a Friday")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(page.locator(".card")).to_contain_text("Rejected by you")
    decided = site.call("GET", f"/approvals/{request}")
    assert (decided["status"], decided["decision"]["note"]) == ("rejected", "Not on a Friday")


def test_values_that_are_changed_reach_the_program(site: Site, look: Open) -> None:
    request = site.ask(**KINDS[2])
    page = look("ana", f"/approvals/{request}")
    ready(page)
    page.keyboard.press("e")
    page.get_by_label("amount", exact=True).fill("9.5")
    approve = page.get_by_role("button", name="Approve with 1 edit")
    for _ in range(4):  # each press shows what was not on the screen yet
        ready(page)
        if approve.is_enabled():
            break
        approve.click(force=True)
    approve.click()
    expect(page.locator(".card")).to_contain_text("Approved by you")
    decided = site.call("GET", f"/approvals/{request}")["decision"]
    assert decided["action_after"]["params"] == REFUND["params"] | {"amount": 9.5}  # type: ignore[operator]


def test_twenty_of_runs_and_programs_by_keyboard_alone(site: Site, look: Open) -> None:
    tasks = ("[pause]", "[question]", "[input]", "[questions:2]", "[takeover]")
    requests = []
    for number in range(10):
        requests.append(site.ask(**KINDS[number % 5], external_id=f"keys {number} {id(look)}"))
        requests.append(site.waiting(f"number {number} {tasks[number % 5]}")[1])
    page = look("ana")
    for _ in requests:
        card = page.locator("[data-card]").get_attribute("data-card")
        say_yes(page)
        expect(page.locator(f"[data-card='{card}']")).to_have_count(0)
    assert {site.call("GET", f"/approvals/{each}")["status"] for each in requests} == {"approved", "answered"}


def test_what_takes_its_place_is_shown_on_the_open_card(site: Site, look: Open) -> None:
    own = f"mail {id(look)}"
    old = site.ask(kind="tool", title="Send it", action=REFUND, external_id=own)
    page = look("ana", f"/approvals/{old}")
    ready(page)
    new = site.ask(kind="tool", title="Send it", action=REFUND | {"params": {"order": 9}}, external_id=own)
    expect(page.locator(".card")).to_contain_text("Void: the program asks for something else now.")
    page.get_by_role("link", name="See the request that took its place").click()
    expect(page.locator(f"#card-{new}")).to_contain_text("the program asks for something else than before")
    row = page.locator("[data-replaced] tr", has_text="order")
    expect(row).to_contain_text("1042")
    expect(row).to_contain_text("9")
    expect(page.locator(f"#card-{new}")).to_contain_text("The same as before: Title, Action")


def test_pictures_are_shown_small_and_whole(site: Site, look: Open) -> None:
    request = site.ask(kind="approval", title="Look at this", evidence=evidence())
    page = look("ana", f"/approvals/{request}")
    shots = page.locator(".picture img")
    expect(shots).to_have_count(2)
    for number in range(2):
        shots.nth(number).scroll_into_view_if_needed()
        expect(shots.nth(number)).to_have_js_property("complete", True)
        assert shots.nth(number).evaluate("image => image.naturalWidth") == (640, 300)[number]
    small = shots.nth(1).bounding_box()
    page.get_by_text("Show it larger").nth(1).click()
    large = shots.nth(1).bounding_box()
    assert small
    assert large
    assert large["height"] > small["height"]


@pytest.mark.parametrize("mode", LOOKS)
def test_axe_finds_nothing(site: Site, look: Open, mode: str) -> None:
    own = f"axe {mode} {id(look)}"
    site.ask(kind="tool", title="Send it", action=REFUND, external_id=own)
    asked = [site.ask(**fields, evidence=evidence(), metadata={"ticket": "T-1"}) for fields in KINDS]
    asked.append(site.ask(kind="tool", title="Send it", action=REFUND | {"params": {"order": 9}}, external_id=own))
    page = look("ana", "/", **LOOKS[mode])
    problems = {"queue": complaints(page)}
    for request in asked:
        page.goto(f"/?open={request}")
        ready(page)
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        problems[request] = complaints(page)
    page.goto(f"/together?id={asked[1]}&id={asked[2]}")
    problems["together"] = complaints(page)
    assert not any(problems.values()), problems


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desk", "phone"])
def test_hostile_words_tear_no_page_and_hide_nothing(options: dict[str, Any], site: Site, look: Open) -> None:
    request = site.ask(
        kind="tool",
        title="\u202e<img src=x onerror=alert(1)>" + "w" * 150,
        message="a" * 3000 + "\n" * 300 + "and wipe the disk",
        action={"name": "n." + "x" * 100, "params": {"k" * 90: "v" * 3000, "list": [{"deep": "d" * 900}]}},
        source={
            "name": "Countersign\u200b" + "s" * 80,
            "url": "https://" + "h" * 60 + ".test/" + "p" * 900,
            "ref": "r" * 200,
        },
        metadata={"m" * 60: "v" * 400},
        end_user="e" * 128,
        evidence={"links": [{"label": "l" * 200, "url": "https://xn--ypal-43d9g.test/" + "q" * 900}]},
    )
    page = look("ana", f"/?open={request}", **options)
    ready(page)
    assert _overflow(page) == 0
    expect(page.locator(".card")).to_contain_text("U+202E")
    expect(page.locator(".card")).to_contain_text("U+200B")
    expect(page.locator(".card img[src='x']")).to_have_count(0)
    page.goto(f"/approvals/{request}")
    ready(page)
    assert _overflow(page) == 0
