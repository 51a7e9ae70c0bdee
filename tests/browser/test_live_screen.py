"""Watching a machine in a real browser: the screen comes by itself, says how old it is, and who else looks."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Site

pytestmark = [pytest.mark.browser]


@pytest.fixture
def desk(site: Site) -> str:
    return str(site.call("POST", "/machines", {"display_name": "Desk", "kind": "simulated"})["id"])


def shows(page: Page) -> None:
    expect(page.locator("[data-live-state]")).to_have_text("Live")
    expect(page.locator("[data-live-view] canvas")).to_be_visible()


def test_the_screen_is_live_and_says_who_watches(desk: str, look: Open) -> None:
    ana = look("ana", f"/machines/{desk}/screen")
    shows(ana)
    expect(ana.locator("[data-live-age]")).to_contain_text("last change")
    bea = look("bea", f"/machines/{desk}/screen")
    shows(bea)
    expect(ana.locator("[data-live-watching]")).to_have_text(re.compile("Watching: .*bea"))
    bea.context.close()
    expect(ana.locator("[data-live-watching]")).to_have_text("Watching: ana")


def test_it_is_shown_in_its_real_size_too(desk: str, look: Open) -> None:
    page = look("ana", f"/machines/{desk}/screen", viewport={"width": 800, "height": 700})
    shows(page)
    canvas = page.locator("[data-live-view] canvas")
    box = canvas.bounding_box()
    assert box
    assert box["width"] < 800
    page.get_by_role("button", name="Real size").click()
    box = canvas.bounding_box()
    assert box
    assert box["width"] == 1280
    expect(page.get_by_role("button", name="Real size")).to_have_attribute("aria-pressed", "true")


def test_a_lost_connection_is_said_over_the_last_picture_and_it_comes_back(desk: str, look: Open) -> None:
    page = look("ana", f"/machines/{desk}/screen")
    shows(page)
    page.context.set_offline(True)
    page.evaluate("window.dispatchEvent(new Event('offline'))")
    expect(page.locator("[data-live-state]")).to_have_text("Reconnecting")
    expect(page.locator("[data-live-view] canvas")).to_be_visible()
    expect(page.locator("[data-live-age]")).to_contain_text("as of")
    page.context.set_offline(False)
    shows(page)


def test_a_private_takeover_by_another_shows_nothing_more_and_says_why(desk: str, look: Open) -> None:
    bea = look("bea", f"/machines/{desk}/screen")
    shows(bea)
    ana = look("ana", f"/machines/{desk}/screen")
    ana.get_by_role("button", name="Take it in private").click()
    expect(ana.get_by_text("You control this machine")).to_be_visible()
    expect(bea.get_by_role("heading", name="A private takeover")).to_be_visible()
    expect(bea.locator("canvas")).to_have_count(0)
    ana.get_by_role("button", name="Give control back").click()
    expect(bea.get_by_text("Nobody works on this machine")).to_be_visible()
    shows(bea)


def test_without_script_there_is_a_picture(desk: str, look: Open) -> None:
    page = look("ana", f"/machines/{desk}/screen", java_script_enabled=False)
    expect(page.get_by_role("img", name="The screen of Desk now")).to_be_visible()
    expect(page.get_by_role("link", name="Look again")).to_be_visible()
    expect(page.locator("[data-live-bar]")).to_be_hidden()


def test_who_took_control_works_at_the_screen_and_the_page_tells_how_much(desk: str, look: Open, site: Site) -> None:
    page = look("ana", f"/machines/{desk}/screen")
    shows(page)
    page.get_by_role("button", name="Take control").click()
    expect(page.locator(".live-screen.is-mine canvas")).to_be_visible()
    page.locator(".live-screen canvas").click(position={"x": 40, "y": 40})
    page.keyboard.type("abc")
    page.keyboard.insert_text("é✓漢")  # as an input method does
    page.keyboard.press("Enter")
    expect(page.get_by_label("The machine's keyboard")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Real size")).to_be_focused()
    expect(page.locator("[data-live-refused]")).to_have_text("")
    page.get_by_role("button", name="Give control back").click()
    expect(page.get_by_text("Nobody works on this machine")).to_be_visible()
    shows(page)
    expect(page.locator(".live-screen.is-mine")).to_have_count(0)


def test_on_a_phone_the_screen_takes_what_its_keyboard_gives(desk: str, look: Open) -> None:
    page = look("ana", f"/machines/{desk}/screen", viewport={"width": 390, "height": 800}, has_touch=True)
    shows(page)
    page.get_by_role("button", name="Take control").tap()
    canvas = page.locator(".live-screen.is-mine canvas")
    canvas.tap(position={"x": 30, "y": 30})
    expect(page.get_by_label("The machine's keyboard")).to_be_focused()
    page.keyboard.insert_text("word")
    expect(page.locator("[data-live-refused]")).to_have_text("")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("button", name="Give control back").tap()
    shows(page)


def test_who_watches_asks_for_control_and_gets_it_when_the_holder_gives_it_back(desk: str, look: Open) -> None:
    ana, bea = look("ana", f"/machines/{desk}/screen"), look("bea", f"/machines/{desk}/screen")
    ana.get_by_role("button", name="Take control").click()
    expect(ana.locator(".live-screen.is-mine canvas")).to_be_visible()
    bea.get_by_role("button", name="Ask for control").click()
    expect(ana.locator("[data-live-asks]")).to_have_text("bea would like to have control")
    ana.get_by_role("button", name="Give control back").click()
    bea.get_by_role("button", name="Take control").click()
    expect(bea.locator(".live-screen.is-mine canvas")).to_be_visible()
    bea.get_by_role("button", name="Give control back").click()
