"""A request to take over: one press takes control and leads to the screen; only who had control hands it back."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Site, ready

pytestmark = [pytest.mark.browser]


def machine(site: Site) -> str:
    """A machine of the test world that people can take."""
    return str(site.call("POST", "/machines", {"display_name": "Desk", "kind": "simulated"})["id"])


def test_one_press_takes_control_and_only_its_holder_hands_it_back(site: Site, look: Open) -> None:
    desk = machine(site)
    run_id, request = site.waiting("solve it [takeover]", machine_id=desk)
    page, other = look("ana"), look("bea", f"/approvals/{request}")
    ready(page)
    expect(page.locator("[data-bar] .btn-go").first).to_contain_text("Take control")
    page.keyboard.press("a")
    expect(page).to_have_url(re.compile(f"/machines/{desk}/screen"))
    expect(page.get_by_text("You control this machine")).to_be_visible()
    assert site.status(run_id) == "awaiting_human"
    expect(other.locator("[data-bar]")).to_contain_text("ana controls the machine")
    expect(other.get_by_role("button", name="Hand control back")).to_have_count(0)
    expect(other.get_by_text("It is already done…")).to_have_count(0)
    page.goto(f"/approvals/{request}")
    page.get_by_role("button", name="Hand control back").click()
    site.reaches(run_id, "succeeded")
    site.call("POST", f"/machines/{desk}/terminate")


def test_who_had_no_control_says_how_they_know_that_it_is_done(site: Site, look: Open) -> None:
    desk = machine(site)
    run_id, request = site.waiting("solve it [takeover]", machine_id=desk)
    page = look("ana", f"/approvals/{request}", java_script_enabled=False)
    page.get_by_text("It is already done…").click()
    page.get_by_label("How do you know?").fill(" ")
    page.get_by_role("button", name="It is done, go on").click()
    expect(page.get_by_text("Say how you know that it is done")).to_be_visible()
    assert site.status(run_id) == "awaiting_human"
    page.get_by_label("How do you know?").fill("The page says solved.")
    page.get_by_role("button", name="It is done, go on").click()
    site.reaches(run_id, "succeeded")
    assert site.call("GET", f"/approvals/{request}")["decision"]["note"] == "The page says solved."
    site.call("POST", f"/machines/{desk}/terminate")
