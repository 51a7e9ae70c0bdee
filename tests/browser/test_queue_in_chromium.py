"""The queue as a place where several people work, in two real browsers, by keyboard, on a phone."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Site, ready, say_yes
from tests.browser.test_pages_in_chromium import PHONE, _overflow

pytestmark = [pytest.mark.browser]
ASKS = {"human_in_the_loop": True, "permission_mode": "approval"}


def test_two_people_at_one_request_see_each_other_and_one_decides(site: Site, look: Open) -> None:
    run_id, request_id = site.waiting("one for two [pause]")
    ana, bea = look("ana"), look("bea")
    expect(ana.locator(f"#looks-card-{request_id}")).to_have_text("bea is looking at this")
    expect(bea.locator(f"#looks-card-{request_id}")).to_have_text("ana is looking at this")
    bea.keyboard.press("c")
    expect(bea.locator(".desk-held")).to_contain_text("You work on this")
    expect(ana.locator(".desk-held")).to_contain_text("bea works on this")
    expect(ana.get_by_role("button", name="Approve")).to_have_count(0)
    bea.keyboard.press("c")
    expect(ana.get_by_role("button", name="Approve")).to_be_visible()
    ready(bea)
    bea.keyboard.press("a")
    expect(bea.locator(".receipt-line")).to_contain_text("Approved by you")
    expect(ana.locator(f"#row-{request_id}")).to_have_count(0, timeout=2000)
    site.reaches(run_id, "succeeded")
    expect(bea.locator(".receipt-line")).to_contain_text("delivered")


def test_of_two_clicks_at_once_the_late_one_is_told_what_happened(site: Site, look: Open) -> None:
    _, request_id = site.waiting("who is first [pause]")
    ana, bea = (
        look("ana", f"/approvals/{request_id}"),
        look("bea", f"/approvals/{request_id}", java_script_enabled=False),
    )
    bea.locator(".decide-no summary").first.click()
    bea.get_by_label("Reason").fill("wrong account")
    ready(ana)
    ana.keyboard.press("a")
    expect(ana.locator(".card")).to_contain_text("Approved by you")
    bea.get_by_role("button", name="Reject", exact=True).click()
    expect(bea.locator(".card")).to_contain_text("Approved by ana")
    expect(bea.locator(".card")).to_contain_text("Your rejection came too late and changed nothing.")


def test_values_are_changed_and_reset_in_place(site: Site, look: Open) -> None:
    run_id, request_id = site.waiting("[steps:1]", **ASKS)
    page = look("ana")
    ready(page)
    page.keyboard.press("e")
    field = page.get_by_label("x", exact=True)
    expect(field).to_be_focused()
    field.fill("55")
    expect(page.get_by_role("button", name="Approve with 1 edit")).to_be_visible()
    page.get_by_label("y", exact=True).fill("66")
    expect(page.get_by_role("button", name="Approve with 2 edits")).to_be_visible()
    page.get_by_role("button", name="Reset y").click()
    expect(page.get_by_role("button", name="Approve with 1 edit")).to_be_visible()
    page.get_by_role("button", name="Approve with 1 edit").click()
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    site.reaches(run_id, "succeeded")
    params = site.call("GET", f"/approvals/{request_id}")["decision"]["action_after"]["params"]
    assert (params["x"], params["y"]) == (55, 200)


def test_several_are_chosen_by_keyboard_compared_and_decided(site: Site, look: Open) -> None:
    runs = [site.waiting(f"[steps:1] number {n}", **ASKS)[0] for n in range(3)]
    page = look("ana")
    expect(page.locator(".queue-item")).to_have_count(3)
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator("[data-together-words]")).to_have_text("2 chosen")
    site.waiting("meanwhile [pause]")
    expect(page.locator(".queue-item")).to_have_count(4)
    expect(page.locator("[data-together-words]")).to_have_text("2 chosen")
    page.get_by_role("button", name="Compare and decide").click()
    expect(page.get_by_role("heading", name="Decide 2 requests together")).to_be_visible()
    page.get_by_role("button", name="Approve all 2").click()
    expect(page.get_by_text("2 requests approved.")).to_be_visible()
    site.reaches(runs[0], "succeeded")
    site.reaches(runs[1], "succeeded")
    assert site.status(runs[2]) == "awaiting_human"


def test_ten_mixed_requests_by_keyboard_alone(site: Site, look: Open) -> None:
    tasks = [
        ("[pause]", {}), ("[question]", {}), ("[steps:1]", ASKS), ("[input]", {}), ("[takeover]", {}), ("[questions:2]", {}),
        ("[spend] [steps:1]", ASKS), ("[question:multi]", {}), ("[secret]", {}), ("move", ASKS | {"permission_mode": "plan"}),
    ]  # fmt: skip
    runs = [site.waiting(f"number {n} {task}", **more)[0] for n, (task, more) in enumerate(tasks)]
    page = look("ana")
    for _ in tasks:
        _decide_by_keyboard(page)
    for run_id in runs:
        site.reaches(run_id, "succeeded")


def _decide_by_keyboard(page: Page) -> None:
    """Say yes to the open request, whatever it asks; the next one opens by itself."""
    card = page.locator("[data-card]")
    request_id = card.get_attribute("data-card")
    say_yes(page)
    expect(page.locator(f"[data-card='{request_id}']")).to_have_count(0)
    expect(page.locator(".receipt-line")).to_contain_text("by you")


def test_a_phone_works_on_a_request(site: Site, look: Open) -> None:
    run_id, request_id = site.waiting("[steps:1]", awaiting_human_timeout_seconds=600, **ASKS)
    page = look("ana", f"/?open={request_id}", **PHONE)
    for name in ("Hand over…", "More time…", "Change the values…"):
        page.get_by_text(name).tap()
        assert _overflow(page) == 0, name
    page.get_by_role("button", name="+ 1 hour").tap()
    expect(page.locator(".card-time")).to_contain_text(re.compile(r"1 h \d+ min left"))
    page.get_by_placeholder("Ask or say something").fill("I look at it")
    page.get_by_role("button", name="Say it").tap()
    expect(page.locator(".said")).to_contain_text("I look at it")
    assert _overflow(page) == 0
    page.goto(f"/together?id={request_id}")
    assert _overflow(page) == 0
    approve = page.get_by_role("button", name="Approve it")
    for _ in range(4):  # each press shows what was not on the screen yet
        page.locator("[data-bar][data-ready]").wait_for()
        if approve.is_enabled():
            break
        approve.tap(force=True)
    approve.tap()
    site.reaches(run_id, "succeeded")


def test_working_on_a_request_without_javascript(site: Site, look: Open) -> None:
    runs = [site.waiting(f"[steps:1] no script {n}", **ASKS) for n in range(2)]
    page = look("ana", "/", java_script_enabled=False)
    page.locator(".pick input").nth(0).check()
    page.locator(".pick input").nth(1).check()
    page.get_by_role("button", name="Compare and decide").click()
    page.get_by_role("link", name="Queue").first.click()
    page.locator(".queue-row").first.click()
    page.get_by_role("button", name="Work on it").click()
    expect(page.locator(".desk-held")).to_contain_text("You work on this")
    page.locator(".edits summary").click()
    page.get_by_label("x", exact=True).fill("12")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    decided = [site.call("GET", f"/approvals/{request}") for _, request in runs]
    edited = [a["decision"]["action_after"]["params"]["x"] for a in decided if a["decision"]]
    assert edited == [12]
