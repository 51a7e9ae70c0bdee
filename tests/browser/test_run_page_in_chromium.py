"""The page of a run at work: the screen as it is now, what people do by hand, one scrubber for the steps."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Site

pytestmark = [pytest.mark.browser]


def test_a_run_at_work_shows_its_screen_as_it_is_now(site: Site, look: Open) -> None:
    task = "run `for i in 1 2 3 4 5 6 7 8 9; do echo line $i; sleep 1; done`"
    run_id = site.call("POST", "/runs", {"task": task}, key=site.live_key)["id"]
    page = look("owner", f"/runs/{run_id}", world="live")
    live = page.locator("[data-live-screen] .live-terminal")
    expect(live).to_be_visible()
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    expect(page.locator("[data-live-age]")).to_contain_text("last change")
    expect(page.get_by_text("Succeeded").first).to_be_visible(timeout=30_000)
    expect(live).to_have_count(0)


def test_what_a_person_does_by_hand_is_told_as_it_happens(site: Site, look: Open) -> None:
    machine = site.call("POST", "/machines", {"display_name": "hands"})["id"]
    run_id, _ = site.waiting("x [steps:2][takeover]", machine_id=machine)
    page = look("bob", f"/runs/{run_id}")
    lease = site.call("POST", f"/machines/{machine}/takeover", {})
    expect(page.locator(".band-hands").filter(has_text="in control of the machine")).to_be_visible()
    for command, parameters in (("key_press", {"key": "enter"}), ("type_text", {"text": "a secret"})):
        site.call(
            "POST", f"/machines/{machine}/actions",
            {"command": command, "parameters": parameters, "lease_id": lease["id"]},
        )  # fmt: skip
    acts = page.get_by_role("list", name="Done by hand, at no charge")
    expect(acts).to_contain_text("Press enter")
    expect(acts).to_contain_text("Type 8 characters")
    expect(page.get_by_text("a secret")).to_have_count(0)
    site.call("POST", f"/machines/{machine}/takeover/release", {"lease_id": lease["id"], "note": "typed it"})
    expect(page.locator(".band-hands").filter(has_text="had control of the machine")).to_contain_text("typed it")


def test_of_a_private_takeover_the_page_says_who_and_no_more(site: Site, look: Open) -> None:
    machine = site.call("POST", "/machines", {"display_name": "private"})["id"]
    run_id, _ = site.waiting("x [steps:2][takeover]", machine_id=machine)
    lease = site.call("POST", f"/machines/{machine}/takeover", {"private": True})
    site.call(
        "POST", f"/machines/{machine}/actions",
        {"command": "key_press", "parameters": {"key": "enter"}, "lease_id": lease["id"]},
    )  # fmt: skip
    page = look("bob", f"/runs/{run_id}")
    band = page.locator(".band-hands").filter(has_text="in control of the machine")
    expect(band).to_contain_text("In private: nothing of it is kept.")
    expect(page.get_by_text("Press enter")).to_have_count(0)


def test_one_scrubber_moves_picture_log_and_cost(site: Site, look: Open) -> None:
    run_id = site.start("x [steps:4]")
    site.reaches(run_id, "succeeded")
    page = look("bob", f"/runs/{run_id}")
    scrub = page.get_by_role("slider", name="Step")
    expect(scrub).to_have_value("4")
    scrub.focus()
    page.keyboard.press("Home")
    expect(page).to_have_url(f"{site.address}/runs/{run_id}?step=1")
    expect(page.locator(".step[aria-current]")).to_contain_text("Clicked at 101, 200")
    expect(page.locator(".scrubber output")).to_have_text("1 of 4 · $0.05")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(f"{site.address}/runs/{run_id}?step=2")
    expect(page.locator(".scrubber output")).to_have_text("2 of 4 · $0.10")
    expect(page.get_by_text("Step 2", exact=True)).to_be_visible()
    expect(scrub).to_be_focused()


def test_space_plays_the_steps_to_the_end(site: Site, look: Open) -> None:
    run_id = site.start("x [steps:3]")
    site.reaches(run_id, "succeeded")
    page = look("bob", f"/runs/{run_id}?step=1")
    page.locator("body").press("Space")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page).to_have_url(f"{site.address}/runs/{run_id}?step=3")
    expect(page.get_by_role("button", name="Play the steps")).to_have_attribute("aria-pressed", "false")


def test_the_scrubber_works_without_javascript(site: Site, look: Open) -> None:
    run_id = site.start("x [steps:3]")
    site.reaches(run_id, "succeeded")
    page = look("bob", f"/runs/{run_id}", java_script_enabled=False)
    page.get_by_role("slider", name="Step").press("Home")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page).to_have_url(f"{site.address}/runs/{run_id}?step=1")


def test_a_phone_shows_whole_buttons_also_while_the_card_is_not_wholly_read(site: Site, look: Open) -> None:
    run_id, _ = site.waiting("x [question]")
    page = look("ana", f"/runs/{run_id}", viewport={"width": 390, "height": 640}, has_touch=True, is_mobile=True)
    expect(page.locator("[data-unread-words]")).to_be_visible()
    for button in page.locator(".decide > .btn, .decide-no > summary").all():
        box = button.bounding_box()
        assert box
        assert box["width"] >= 90
        assert button.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


def test_a_long_screen_as_text_opens_at_its_end(site: Site, look: Open) -> None:
    run_id = site.start("Three [steps:3]")
    site.reaches(run_id, "succeeded")
    page = look("ana", f"/runs/{run_id}")
    page.locator(".run-screen").evaluate("""e => e.insertAdjacentHTML("beforeend",
        `<div class="box longtext from-end" id="probe"><pre>${"line\\n".repeat(100)}<span>last</span></pre></div>`)""")
    page.locator("#probe").scroll_into_view_if_needed()
    expect(page.locator("#probe span")).to_be_in_viewport()


def test_the_banner_of_a_stop_does_not_outlive_it_on_the_page_of_a_run(site: Site, look: Open) -> None:
    run_id = site.start("x [steps:1]")
    site.reaches(run_id, "succeeded")
    stop = site.call("POST", "/stop", {"scope": "team", "reason": "It mails everybody."})
    page = look("bob", f"/runs/{run_id}")
    expect(page.get_by_text("It mails everybody.")).to_be_visible()
    site.call("POST", f"/stop/{stop['id']}/lift", {})
    expect(page.get_by_text("It mails everybody.")).to_have_count(0, timeout=20_000)
