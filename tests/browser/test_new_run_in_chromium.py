"""The form of a new run says, while one types, which machine it would get."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Site

pytestmark = [pytest.mark.browser]


def test_the_machine_is_named_before_the_start_and_the_run_goes_there(look: Open, site: Site) -> None:
    page = look("owner", "/runs/new", world="live")
    hint = page.locator("#machine-hint")
    expect(hint).to_contain_text("the team’s default")
    page.get_by_label("Task").fill('Open http://127.0.0.1:9/ and click "Go"')
    expect(hint).to_contain_text("It runs on Browser 1: the task needs a machine of kind browser.")
    page.get_by_label("Task").fill("Run `uname -a`")
    expect(hint).to_contain_text("It runs on Terminal 1: the task needs a machine of kind terminal.")
    page.get_by_label("Machine").select_option(label=page.get_by_label("Machine").locator("option").nth(2).inner_text())
    expect(hint).to_contain_text("It runs on Browser 1.")
    assert page.get_by_label("Task").input_value() == "Run `uname -a`"
    page.get_by_label("Machine").select_option(index=0)
    expect(hint).to_contain_text("It runs on Terminal 1")
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/runs/run_*")
    run = site.call("GET", f"/runs/{page.url.rsplit('/', 1)[1]}", key=site.live_key)
    machine = site.call("GET", f"/machines/{run['machine_id']}", key=site.live_key)
    assert machine["display_name"] == "Terminal 1"
