"""The stop as people press it."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Site

pytestmark = [pytest.mark.browser]


def test_everything_is_stopped_and_lifted_by_hand(site: Site, look: Open) -> None:
    run_id = site.start("x [steps:200] [slow:100]")
    site.reaches(run_id, "running")
    page = look("owner", "/")
    page.get_by_role("link", name="Stop everything").first.click()
    page.get_by_label("Why").fill("The agent mails everybody.")
    page.locator("main form button").first.click()
    try:
        banner = page.get_by_role("complementary", name="A stop stands")
        expect(banner).to_contain_text("The agent mails everybody.")
        assert site.call("GET", f"/runs/{run_id}")["waiting_on"]["code"] == "stopped"
        page.get_by_role("link", name=re.compile("^Lift")).click()
        page.get_by_role("button", name="Lift the stop").click()
        expect(banner).to_have_count(0)
    finally:
        for stop in site.call("GET", "/stop")["data"]:
            if stop["lifted_at"] is None:
                site.call("POST", f"/stop/{stop['id']}/lift")
    assert site.call("GET", f"/runs/{run_id}")["waiting_on"] is None


@pytest.mark.parametrize("width", [1280, 390])
def test_the_foot_of_the_side_is_one_row(look: Open, width: int) -> None:
    """Colours, mails and keyboard; the phone has no keyboard."""
    page = look("owner", "/", viewport={"width": width, "height": 844})
    page.get_by_role("link", name="Stop everything").first.wait_for()
    middles = page.locator(".side-foot .links > *").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect()).filter((box) => box.width)"
        ".map((box) => Math.round(box.top + box.height / 2))"
    )
    assert len(middles) == (3 if width > 1000 else 2)
    assert max(middles) - min(middles) <= 1, middles
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator(".side-foot").evaluate("(foot) => foot.scrollWidth <= foot.clientWidth")
