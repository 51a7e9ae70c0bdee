"""The pages of policies and of the audit, as people use them: keyboard, phone, without JavaScript."""

import csv

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Site

pytestmark = [pytest.mark.browser]
PHONE = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}


def test_a_policy_is_made_and_revoked_by_keyboard_alone(site: Site, look: Open) -> None:
    page = look("owner", "/policies/new")
    page.get_by_label("Action", exact=True).focus()
    page.keyboard.type("mail.send")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # the first choice: ask
    expect(page.get_by_role("radio", name="Ask A person")).to_be_checked()
    page.get_by_label("Anyone who may decide").focus()
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(
        "Every call of mail.send needs the approval of 2 people"
    )
    page.get_by_role("link", name="Revoke").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Revoke the policy").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("The policy is revoked.")).to_be_visible()


@pytest.mark.parametrize("script", [True, False])
def test_who_must_approve_is_asked_only_where_somebody_is_asked(site: Site, look: Open, script: bool) -> None:
    page = look("owner", "/policies/new", java_script_enabled=script)
    asked, end_users = page.get_by_label("Anyone who may decide"), page.get_by_label("Also in runs with an end user")
    expect(asked).to_be_hidden()
    page.get_by_role("radio", name="Ask A person").check()
    expect(asked).to_be_visible()
    expect(end_users).to_be_hidden()
    page.get_by_role("radio", name="Allow It runs").check()
    expect(asked).to_be_hidden()
    expect(end_users).to_be_visible()


def test_the_audit_is_narrowed_and_taken_along_without_javascript(site: Site, look: Open) -> None:
    run_id, request_id = site.waiting("note me [pause]")
    site.call("POST", f"/approvals/{request_id}/comment", {"text": "which account?"})
    site.call("POST", f"/approvals/{request_id}/decide", {"verdict": "reject", "note": "wrong account"})
    page = look("bob", "/audit", java_script_enabled=False)
    page.get_by_label("Run").fill(run_id)
    page.get_by_label("Verdict").select_option("Reject")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("tbody tr")).to_contain_text("wrong account")
    with page.expect_download() as taken:
        page.get_by_role("link", name="CSV").click()
    with taken.value.path().open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["action"], row["run_id"]) for row in rows] == [("decision.reject", run_id)]
    page.get_by_role("link", name="Show everything").click()
    expect(page.locator("tbody")).to_contain_text("which account?")


@pytest.mark.parametrize(
    "path",
    [
        "/policies",
        "/policies/new?effect=ask",
        "/audit",
        "/audit?from=x",
        "/approvals/statistics",
        "/approvals/statistics?from=x",
    ],
)
def test_on_a_phone_nothing_is_wider_than_the_screen(site: Site, look: Open, path: str) -> None:
    site.call("POST", "/permissions", {"tool": "a" * 128, "host": f"{'b' * 60}.test", "note": "c" * 500})
    page = look("ana", path, **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    expect(page.locator(".nav summary")).to_have_attribute("aria-current", "true")


def test_who_may_not_loosen_is_told_so_where_it_would_be_done(site: Site, look: Open) -> None:
    """An approver makes rules stricter; what only an admin can do is not offered, and why."""
    made = site.call("POST", "/permissions", {"tool": "told.why", "effect": "ask"})
    page = look("ana", f"/policies/{made['id']}")
    expect(page.get_by_role("link", name="Revoke")).to_have_count(0)
    expect(page.get_by_text("Only an admin can lift it")).to_be_visible()
    page.get_by_role("link", name="Change").click()
    expect(page.get_by_role("radio", name="Allow It runs")).to_be_disabled()
    page.get_by_role("radio", name="Deny It never runs").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("is refused without asking")
