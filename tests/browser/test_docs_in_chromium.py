"""The page of the API in a browser: calls are tried with the session's login or with a key, and what they lack is said."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Site

pytestmark = [pytest.mark.browser]


def operation(page, name: str):  # type: ignore[no-untyped-def]
    box = page.locator(f"details#{name}")
    box.locator("summary").first.click()
    return box


def test_a_run_is_started_and_read_with_the_login_of_the_session(site: Site, look: Open) -> None:
    page = look("owner", "/v1/docs")
    create = operation(page, "post--v1-runs")
    create.get_by_role("button", name="Execute").click()
    expect(create.get_by_role("status")).to_contain_text("200")
    expect(create.get_by_role("status")).to_contain_text('"test": true')
    read = operation(page, "get--v1-runs--run-id")
    expect(read.get_by_label("run_id")).to_have_value(re.compile("^run_"))  # the newest one is there already
    read.get_by_role("button", name="Execute").click()
    expect(read.get_by_role("status")).to_contain_text('"object": "agent.run"')


def test_no_error_of_the_page_whatever_is_named_in_its_address(site: Site, look: Open) -> None:
    page = look("owner")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    for address in ("/v1/docs", "/v1/docs#nothing", "/v1/docs#get--v1-runs"):
        page.goto(address)
    expect(page.locator("details#get--v1-runs")).to_have_attribute("open", "")
    assert not errors


def test_a_key_tries_without_a_login(site: Site, chromium) -> None:  # type: ignore[no-untyped-def]
    page = chromium.new_context(base_url=site.address).new_page()
    page.goto("/v1/docs")
    listing = operation(page, "get--v1-machines")
    listing.get_by_role("button", name="Execute").click()
    expect(listing.get_by_role("status")).to_contain_text("INVALID_API_KEY")
    page.get_by_label("API key").fill(site.test_key)
    listing.get_by_role("button", name="Execute").click()
    expect(listing.get_by_role("status")).to_contain_text('"object": "list"')
    page.context.close()


def test_what_is_missing_is_said_and_what_ends_something_is_asked_twice(site: Site, look: Open) -> None:
    page = look("owner", "/v1/docs")
    end = operation(page, "post--v1-runs--run-id--cancel")
    end.get_by_role("button", name="Execute").click()
    expect(end.get_by_role("status")).to_contain_text("Fill in run_id first")
    run_id = site.start("x [pause]")
    site.reaches(run_id, "awaiting_human")
    end.get_by_label("run_id").fill(run_id)
    end.get_by_role("button", name="Execute").click()
    expect(end.get_by_role("status")).to_contain_text("Press Execute once more")
    assert site.status(run_id) == "awaiting_human"
    end.get_by_role("button", name="Execute").click()
    expect(end.get_by_role("status")).to_contain_text('"status": "cancelled"')
