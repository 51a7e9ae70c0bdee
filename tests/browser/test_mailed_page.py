"""From the mail of a running installation to the decision: on a phone, without JavaScript."""

import re

import pytest
from playwright.sync_api import Browser, expect

from config.own_processes import wait_until
from tests.browser.conftest import PASSWORD, Site
from tests.browser.test_pages_in_chromium import PHONE

pytestmark = [pytest.mark.browser]


def link_mailed_to(site: Site, name: str) -> str:
    """From the first mail to this person, which the worker sends at once."""
    pattern = re.compile(rf"^To: {name}@people\.test$.*?(http://\S+/d/\S+)", re.MULTILINE | re.DOTALL)
    assert wait_until(lambda: pattern.search(site.said.read_text()) is not None, 20, 0.1)
    found = pattern.search(site.said.read_text())
    assert found is not None
    return found[1]


def test_deciding_from_a_mail_on_a_phone_without_javascript(site: Site, chromium: Browser) -> None:
    site.clear()
    site.join("pia", "approver")
    run_id, _ = site.waiting("pay [steps:1]", human_in_the_loop=True, permission_mode="approval")
    link = link_mailed_to(site, "pia")
    context = chromium.new_context(java_script_enabled=False, **PHONE)
    page = context.new_page()
    page.goto(link)
    page.get_by_label("E-mail").fill("pia@people.test")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    assert page.url == link
    expect(page.get_by_role("img", name=re.compile("^Screen when the request was opened"))).to_be_visible()
    assert page.get_by_role("button").all_inner_texts() == ["Approve", "Reject"]
    picture = page.get_by_role("img", name=re.compile("^Screen when the request was opened")).bounding_box() or {}
    values = page.locator("[data-read=values]")
    assert (values.bounding_box() or {})["y"] < picture["y"]
    for part in (page.get_by_role("heading", level=1), values, *page.get_by_role("button").all()):
        expect(part).to_be_in_viewport(ratio=1)  # a tap on the link, a tap on the button
    assert all(box["height"] >= 40 for box in [b.bounding_box() for b in page.get_by_role("button").all()] if box)
    assert page.locator("main").evaluate("main => main.scrollWidth <= innerWidth") is True
    page.get_by_label("Your words").fill("go on")
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status")).to_contain_text("Approved by you")
    expect(page.get_by_role("status")).to_contain_text("“go on”")
    site.reaches(run_id, "succeeded")
    context.close()


def test_the_buttons_of_what_is_long_stand_below_all_of_it(site: Site, chromium: Browser) -> None:
    site.clear()
    site.join("lea", "approver")
    lines = "wipe the disk\n" * 60
    site.waiting(f'ask for approval to "{lines}"', agent="playbook")
    page = chromium.new_context(java_script_enabled=False, **PHONE).new_page()
    page.goto(link_mailed_to(site, "lea"))
    page.get_by_label("E-mail").fill("lea@people.test")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    words, button = page.locator(".quote"), page.get_by_role("button", name="Approve")
    expect(words).to_contain_text(re.compile(r"wipe the disk\s+wipe the disk"))
    expect(button).not_to_be_in_viewport()
    assert words.evaluate("box => box.scrollHeight <= box.clientHeight + 1")  # all of it, in no box of its own
    end = words.evaluate("box => box.getBoundingClientRect().bottom")
    assert button.evaluate("button => button.getBoundingClientRect().top") >= end
    page.context.close()
