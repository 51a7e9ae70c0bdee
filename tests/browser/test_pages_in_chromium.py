"""The pages as people use them: by mouse, by keyboard, on a phone, without JavaScript, and with the line cut."""

import re
from typing import Any
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import Open, Site, ready, sign_in

pytestmark = [pytest.mark.browser]
PHONE = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}


def test_signing_in_and_out(site: Site, chromium: Browser) -> None:
    context = chromium.new_context(base_url=site.address)
    page = context.new_page()
    page.goto("/runs?status=failed")
    page.get_by_label("E-mail").fill("ana@people.test")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("E-mail or password is wrong.")
    sign_in(page, "ana")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in"))
    context.close()


def test_a_run_is_followed_live_without_a_reload(site: Site, look: Open) -> None:
    run_id = site.start("follow me [steps:5] [slow:400]")
    page = look("bob", f"/runs/{run_id}")
    page.evaluate("window.neverReloaded = true")
    rows = page.locator(".step")
    expect(rows).to_have_count(5, timeout=20_000)
    expect(page.locator(".strip-status")).to_contain_text("Succeeded")
    expect(page).to_have_title(re.compile("^Succeeded"))
    assert page.evaluate("window.neverReloaded") is True


def test_what_was_just_said_outlives_a_live_update(look: Open) -> None:
    page = look("owner", "/machines/new")
    page.get_by_label("Name").fill("Desk")
    page.get_by_role("button", name="Make the machine").click()
    expect(page.get_by_text("Desk is being made.")).to_be_visible()
    page.evaluate("""new Promise((done) => {
        document.body.addEventListener("htmx:afterSettle", () => done(), { once: true });
        htmx.trigger(document.body, "poke");
    })""")
    expect(page.get_by_text("Desk is being made.")).to_be_visible()


def test_approving_with_the_mouse_in_the_queue(site: Site, look: Open) -> None:
    page = look("ana")
    expect(page.get_by_text("Nothing waits for a person.")).to_be_visible()
    run_id, _ = site.waiting("approve me [pause]")
    expect(page.get_by_text("1 open request holds up 1 run")).to_be_visible()
    expect(page).to_have_title("(1) Queue · Countersign")
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    site.reaches(run_id, "succeeded")
    expect(page.locator("#waiting")).to_be_empty()


def test_deciding_with_the_keyboard_alone(site: Site, look: Open) -> None:
    (first, first_request), (second, _) = site.waiting("first [pause]"), site.waiting("second [pause]")
    page = look("ana")
    expect(page.locator(".card")).to_contain_text("first [pause]")
    page.keyboard.press("j")
    expect(page.locator(".card")).to_contain_text("second [pause]")
    page.keyboard.press("k")
    expect(page.locator(".card")).to_contain_text("first [pause]")
    ready(page)
    page.keyboard.press("a")
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    site.reaches(first, "succeeded")
    expect(page.locator(".card")).to_contain_text("second [pause]")
    page.wait_for_timeout(1000)  # what the run says meanwhile does not bring the old address back
    assert f"decided={first_request}" in page.url
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    ready(page)
    page.keyboard.press("r")
    reason = page.get_by_label("Reason")
    expect(reason).to_be_focused()
    page.keyboard.type("a jar is not a car")  # a and r are letters here
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    site.reaches(second, "failed")
    assert site.call("GET", f"/runs/{second}")["error"]["message"] == "Wrong target. a jar is not a car"


def test_the_keyboard_help_and_switching_keys_off(site: Site, look: Open) -> None:
    site.waiting("x [pause]")
    page = look("ana")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.locator("dt").filter(has_text=re.compile("^y$"))).to_be_visible()
    dialog.get_by_label("Switch single-key shortcuts off").check()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.keyboard.press("r")
    expect(page.get_by_label("Reason")).to_be_hidden()


def test_steps_are_stepped_through_and_part_of_the_address(site: Site, look: Open) -> None:
    run_id = site.start("three steps")
    site.reaches(run_id, "succeeded")
    page = look("bob", f"/runs/{run_id}")
    expect(page.locator(".screen-bar")).to_contain_text("Step 3")
    page.keyboard.press(",")
    expect(page.locator(".screen-bar")).to_contain_text("Step 2")
    page.keyboard.press(",")
    page.wait_for_url("**?step=1")
    ring = page.locator(".shot circle").last
    expect(ring).to_have_attribute("cx", "101")
    expect(page.locator(".screen-bar")).to_contain_text("Step 1")
    page.keyboard.press(".")
    page.wait_for_url("**?step=2")
    page.go_back()
    page.wait_for_url("**?step=1")
    expect(page.locator(".step[aria-current]")).to_contain_text("Clicked at 101, 200")


def test_a_half_written_reason_survives_what_happens_meanwhile(site: Site, look: Open) -> None:
    site.waiting("mine [pause]")
    page = look("ana")
    ready(page)
    page.keyboard.press("r")
    page.keyboard.type("half a rea")
    site.waiting("another [pause]")
    expect(page.get_by_text("2 open requests hold up 2 runs")).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value("half a rea")
    expect(page.get_by_label("Reason")).to_be_focused()


def test_somebody_elses_decision_turns_the_card_without_a_reload(site: Site, look: Open) -> None:
    run_id, approval_id = site.waiting("race [pause]")
    page = look("ana", f"/?open={approval_id}")
    site.call("POST", f"/approvals/{approval_id}/decide", {"verdict": "reject", "note": "wrong account"})
    expect(page.locator(".card")).to_contain_text("Rejected by first test key")
    expect(page.locator(".card")).to_contain_text("wrong account")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    site.reaches(run_id, "failed")


def test_a_question_that_is_not_answered_stays_with_a_hint(site: Site, look: Open) -> None:
    run_id, approval_id = site.waiting("ask [questions:2]")
    page = look("ana", f"/approvals/{approval_id}")
    page.get_by_label("Support").check()
    page.get_by_role("button", name="Send the answer").click()
    expect(page.get_by_text("Needs an answer.")).to_be_visible()
    site.waiting("meanwhile [pause]")
    expect(page.locator("#waiting")).to_contain_text("2")
    expect(page.get_by_text("Needs an answer.")).to_be_visible()
    expect(page.get_by_label("Support")).to_be_checked()
    page.get_by_label("Or in your own words").last.fill("Cheerful")
    page.get_by_role("button", name="Send the answer").click()
    expect(page.locator(".card")).to_contain_text("Answered by you")
    site.reaches(run_id, "succeeded")


def test_offline_it_says_so_holds_decisions_back_and_fills_the_gap(site: Site, look: Open) -> None:
    run_id, approval_id = site.waiting("cut the line [pause]")
    page = look("ana", f"/runs/{run_id}")
    page.evaluate("window.neverReloaded = true")
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_contain_text(re.compile(r"Offline: showing the page as of \d\d:\d\d"))
    expect(page.get_by_role("button", name="Approve")).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("a")
    page.get_by_role("button", name="Approve").click(force=True)
    assert site.status(run_id) == "awaiting_human"
    site.call("POST", f"/approvals/{approval_id}/decide", {"verdict": "approve"})
    site.reaches(run_id, "succeeded")
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_be_hidden(timeout=30_000)
    expect(page.locator(".strip-status")).to_contain_text("Succeeded")
    assert page.evaluate("window.neverReloaded") is True


def test_a_decision_that_was_not_sent_is_not_forgotten(site: Site, look: Open) -> None:
    run_id, _ = site.waiting("click while the line is cut [pause]")
    page = look("ana", f"/runs/{run_id}")
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#offline")).to_contain_text("Offline")
    ready(page)
    page.get_by_role("button", name="Approve").click(force=True)
    page.context.set_offline(False)
    expect(page.locator("#offline")).to_contain_text("your decision did not arrive: decide again", timeout=30_000)
    assert site.status(run_id) == "awaiting_human"
    page.get_by_role("button", name="Approve").click()
    site.reaches(run_id, "succeeded")
    expect(page.locator("#offline")).to_be_hidden()


@pytest.mark.parametrize(
    "path", ["/", "/runs", "/runs/new", "/machines", "/machines/new", "/ledger", "/keys", "/keys/new"]
)
def test_on_a_phone_nothing_is_wider_than_the_screen(site: Site, look: Open, path: str) -> None:
    page = look("owner", path, world="live", **PHONE)
    assert _overflow(page) == 0


def test_the_run_and_the_card_fit_a_phone(site: Site, look: Open) -> None:
    words = "a-word-that-is-much-longer-than-a-phone-is-wide-and-has-no-place-to-break-it-at-all " * 3
    _, approval_id = site.waiting(f"{words} [pause]")
    tool_run, tool = site.waiting("pay", human_in_the_loop=True, permission_mode="approval")
    for path in (f"/approvals/{approval_id}", f"/approvals/{tool}", f"/runs/{tool_run}", f"/?open={approval_id}", "/"):
        page = look("ana", path, **PHONE)
        assert _overflow(page) == 0, path
    page.locator(".queue-row").first.tap()
    expect(page.get_by_role("button", name="Approve")).to_be_visible()
    page.get_by_role("link", name="Queue").first.tap()
    expect(page.locator(".queue-row").first).to_be_visible()


def _more(page: Page) -> tuple[Locator, Locator]:
    """What opens the sheet, and the links in it that are to be seen."""
    return page.locator(".nav summary"), page.locator(".nav-sheet a:visible")


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("width", [320, 375])
def test_on_a_phone_there_are_five_tabs_and_the_rest_under_more(look: Open, script: bool, width: int) -> None:
    page = look("owner", "/runs", **PHONE | {"viewport": {"width": width, "height": 640}}, java_script_enabled=script)
    more, links = _more(page)
    tabs = page.locator(".nav > a")
    assert tabs.all_inner_texts() == ["Queue", "Runs", "Workflows", "Machines", "Ledger"]
    boxes = [each.bounding_box() or {} for each in (*tabs.all(), more)]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert more.evaluate(
        "tab => [...tab.closest('nav').children].every((e) => e.scrollWidth <= e.clientWidth)"
    )  # no word is cut
    expect(links).to_have_count(0)
    more.tap()
    assert links.all_inner_texts() == [
        "Keys", "Secrets", "Webhooks", "Policies", "Statistics", "Stops", "Audit", "Members", "Models", "API docs",
    ]  # fmt: skip
    assert all((each.bounding_box() or {})["height"] >= 44 for each in links.all())
    expect(links.last).to_be_in_viewport(ratio=1)
    page.touchscreen.tap(20, 20)  # beside it
    expect(links).to_have_count(0)
    more.tap()
    links.filter(has_text="Audit").tap()
    expect(page).to_have_url(re.compile("/audit$"))
    expect(links).to_have_count(0)
    expect(more).to_have_attribute("aria-current", "true")
    assert _overflow(page) == 0


def test_the_sheet_of_a_phone_by_keyboard(look: Open) -> None:
    page = look("bob", "/runs", **PHONE)
    more, links = _more(page)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Machines").focus()
    page.keyboard.press("Tab")
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Webhooks")).to_be_focused()  # a viewer finds no keys
    page.keyboard.press("Escape")
    expect(links).to_have_count(0)
    expect(more).to_be_focused()
    page.keyboard.press("Space")
    for _ in range(8):
        page.keyboard.press("Tab")
    expect(links).to_have_count(0)  # whoever goes on behind it sees where they are


def test_on_a_large_screen_every_entry_stands_in_the_side(look: Open) -> None:
    page = look("owner", "/audit")
    expect(page.get_by_role("navigation", name="Main").get_by_role("link")).to_have_count(15)
    expect(page.get_by_text("More", exact=True)).to_be_hidden()


def _overflow(page: Page) -> int:
    return int(
        page.evaluate("Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)")
    )


def test_without_javascript_everything_still_works(site: Site, look: Open) -> None:
    run_id, _ = site.waiting("no script [pause]")
    page = look("ana", "/", java_script_enabled=False)
    page.get_by_role("link", name="The agent asks for approval").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".receipt-line")).to_contain_text("Approved by you")
    site.reaches(run_id, "succeeded")
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("link", name="no script [pause]").first.click()
    page.locator(".step").first.click()
    expect(page.locator(".screen-bar")).to_contain_text("Step 1")
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_rejecting_without_javascript(site: Site, look: Open) -> None:
    run_id, approval_id = site.waiting("no script [pause]")
    page = look("ana", f"/approvals/{approval_id}", java_script_enabled=False)
    page.locator(".decide-no summary").first.click()
    page.get_by_label("Reason").fill("not today")
    page.get_by_role("button", name="Reject", exact=True).click()
    expect(page.locator(".card")).to_contain_text("“not today”")
    site.reaches(run_id, "failed")


def test_the_colours_switch_at_once_and_stay(site: Site, look: Open) -> None:
    page = look("bob", "/runs", color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    page.wait_for_timeout(500)
    page.goto("/machines")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_new_key_is_shown_once_and_copied(site: Site, look: Open) -> None:
    page = look("owner", "/keys/new", world="live", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("Name").fill("from a browser")
    page.get_by_role("button", name="Make the key").click()
    key = page.locator("#new-key").inner_text()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == key
    assert site.call("GET", "/runs", key=key)["object"] == "list"


def test_where_no_websocket_comes_through_a_person_points_and_types_all_the_same(site: Site, look: Open) -> None:
    machine = site.call("POST", "/machines", {"display_name": "by hand", "kind": "simulated"})["id"]
    page = look("ana", "/machines")
    page.route_web_socket(re.compile("/ws/machines/"), lambda socket: socket.close())
    page.goto(urljoin(page.url, f"/machines/{machine}/screen"))
    page.get_by_role("button", name="Take control").click()
    picture = page.get_by_role("button", name="The screen now")
    expect(picture).to_be_visible()
    note = page.get_by_label("What did you change?")
    note.fill("half a word")
    wide = picture.evaluate("e => e.clientWidth")
    assert wide < 1280  # shown smaller than it is
    with page.expect_response(lambda r: r.url.endswith("/control/act")):
        picture.click(position={"x": wide / 2, "y": wide * 0.25})
    with page.expect_response(lambda r: r.url.endswith("/control/act")):
        page.get_by_label("Type", exact=True).fill("hello")
        page.get_by_role("button", name="Type and press Enter").dblclick()  # typed once
    expect(page.get_by_label("Type", exact=True)).to_have_value("")
    first = picture.get_attribute("src")
    expect(picture).not_to_have_attribute("src", first or "", timeout=10_000)  # it is looked at again and again
    expect(note).to_have_value("half a word")
    said = [each for each in audit(page) if (each["action"], each["subject"]) == ("machine.action", machine)]
    commands = [action for entry in reversed(said) for action in entry["facts"]["actions"]]
    assert [a["command"] for a in commands] == ["click", "type_text", "key_press"]
    assert abs(commands[0]["params"]["x"] - 640) <= 2
    assert abs(commands[0]["params"]["y"] - 320) <= 2
    page.get_by_role("button", name="Give control back").click()
    expect(page.get_by_text("You gave control back.")).to_be_visible()
    site.call("POST", f"/machines/{machine}/terminate")


def audit(page: Page) -> list[dict[str, Any]]:
    """The newest entries, as the page of the audit gives them."""
    return list(page.request.get(urljoin(page.url, "/audit/export.json")).json()["entries"])
