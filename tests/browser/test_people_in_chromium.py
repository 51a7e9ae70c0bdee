"""People, groups and invitations as a person uses them: without JavaScript, by keyboard, on a phone."""

import re
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Open, Site
from tests.browser.test_pages_in_chromium import PHONE

pytestmark = [pytest.mark.browser]


def invited(page: Page, email: str) -> str:
    """Invites by the page; the path of the link."""
    page.get_by_role("link", name="Invite a person").click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label(re.compile(r"^\s*approver")).check()
    page.get_by_role("button", name="Invite").click()
    return urlsplit(page.locator("#new-link").text_content() or "").path


def test_inviting_and_joining_without_javascript(site: Site, look: Open, chromium: Browser) -> None:
    owner = look("owner", "/members", java_script_enabled=False)
    link = invited(owner, "erik@people.test")
    context = chromium.new_context(base_url=site.address, java_script_enabled=False, **PHONE)
    page = context.new_page()
    page.goto(link)
    expect(page.locator("main")).to_contain_text("invites erik@people.test as approver")
    page.get_by_label("Your name").fill("Erik Ode")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Join").click()
    expect(page.locator("main")).to_contain_text("at least 10 characters")
    page.get_by_label("Password").fill("a long enough password")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_text("You are in the team Demo.")).to_be_visible()
    page.goto(link)
    expect(page.locator("main")).to_contain_text("This invitation was used already.")
    context.close()
    owner.goto("/members")
    owner.get_by_role("link", name="Remove Erik Ode").click()
    owner.get_by_role("button", name="Remove from the team").click()
    expect(owner.get_by_text("Erik Ode is no longer in the team.")).to_be_visible()


def test_the_page_says_by_itself_what_became_of_the_mail(site: Site, look: Open) -> None:
    page = look("owner", "/members")
    invited(page, "mia@people.test")
    page.get_by_role("link", name="Done").click()
    row = page.get_by_role("row", name="mia@people.test")
    expect(row).to_contain_text("no mail server is set up (EMAIL_URL)", timeout=20_000)
    page.get_by_role("button", name="Withdraw the invitation of mia@people.test").click()
    expect(row).to_be_hidden()


def test_changing_roles_and_groups_by_keyboard(site: Site, look: Open) -> None:
    page = look("owner", "/groups/new")
    page.get_by_label("Name").focus()
    page.keyboard.type("Finance")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The group Finance is made.")).to_be_visible()
    page.get_by_label("Person").select_option(label="bob (bob@people.test)")
    page.get_by_role("button", name="Add to the group").press("Enter")
    expect(page.get_by_role("row", name="bob")).to_contain_text("may not decide")
    page.goto("/members")
    page.get_by_role("link", name="Roles of bob").press("Enter")
    page.get_by_label(re.compile(r"^\s*approver")).press("Space")
    page.get_by_role("button", name="Save the roles").press("Enter")
    expect(page.get_by_role("row", name="bob")).to_contain_text("approver, viewer")
    page.get_by_role("link", name="Finance").click()
    expect(page.get_by_role("row", name="bob")).not_to_contain_text("may not decide")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete the group").click()
    expect(page.get_by_text("The group Finance is deleted.")).to_be_visible()
    page.goto("/members")
    page.get_by_role("link", name="Roles of bob").click()
    page.get_by_label(re.compile(r"^\s*approver")).uncheck()  # he only looks on in the other tests
    page.get_by_role("button", name="Save the roles").click()
    expect(page.get_by_role("row", name="bob")).not_to_contain_text("approver")


@pytest.mark.parametrize("path", ["/members", "/members/invite", "/groups", "/groups/new", "/profile"])
def test_on_a_phone_nothing_is_wider_than_the_screen(site: Site, look: Open, path: str) -> None:
    page = look("owner", path, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    names = page.locator(".nav > a, .nav summary").all()
    boxes = [box for each in names if (box := each.bounding_box())]
    assert all(a["x"] + a["width"] <= b["x"] + 1 for a, b in pairwise(boxes))  # no name on another
