"""A workflow run as its reader watches it: live, in the drawing, on a phone."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Site
from tests.workflows.documents import approval, task

pytestmark = [pytest.mark.browser]

IN_SIGHT = """([box, node]) => {
    const [outer, inner] = [box.getBoundingClientRect(), node.getBoundingClientRect()];
    return inner.top >= outer.top && inner.bottom <= outer.bottom;
}"""
LONG = [*(task(f"a{n}", "x [steps:0]") for n in range(9)), approval("first"),
        *(task(f"b{n}", "x [steps:0]") for n in range(9)), approval("second")]  # fmt: skip


def begun(site: Site, *steps: object) -> str:
    """A workflow run of the test world that waits for a person."""
    run_id = str(site.call("POST", "/workflows/runs", {"name": "Watched", "definition": {"steps": steps}})["id"])
    site.reaches(run_id, "awaiting_human")
    return run_id


def approve(site: Site, run_id: str) -> None:
    (request,) = site.call("GET", f"/runs/{run_id}")["open_approvals"]
    site.call("POST", f"/approvals/{request}/decide", {"verdict": "approve"})


def in_sight(page: Page, step: str) -> None:
    """The drawing's box has been scrolled so far that the step is to be seen in it."""
    handles = [
        page.locator("#flow-drawing").element_handle(),
        page.locator(f".graph-node[href='#step-{step}']").element_handle(),
    ]
    page.wait_for_function(IN_SIGHT, arg=handles)


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_the_drawing_follows_the_step_that_waits_and_the_page_stays(site: Site, look: Open, motion: str) -> None:
    run_id = begun(site, *LONG)
    page = look("bob", f"/runs/{run_id}", reduced_motion=motion)
    in_sight(page, "first")
    approve(site, run_id)
    expect(page.locator(".graph-node.is-waiting")).to_have_attribute("href", "#step-second")
    in_sight(page, "second")
    assert page.evaluate("scrollY") == 0


def test_the_drawing_stays_where_the_reader_scrolled_it(site: Site, look: Open) -> None:
    run_id = begun(site, *LONG)
    page = look("bob", f"/runs/{run_id}", reduced_motion="reduce")
    in_sight(page, "first")
    box = page.locator("#flow-drawing")
    box.hover()
    page.mouse.wheel(0, -5000)
    page.wait_for_function("() => document.querySelector('#flow-drawing').scrollTop === 0")
    approve(site, run_id)
    expect(page.locator(".graph-node.is-waiting")).to_have_attribute("href", "#step-second")
    assert box.evaluate("box => box.scrollTop") == 0
    page.mouse.wheel(0, 5000)  # back where it waits: from here on it is followed again
    in_sight(page, "second")
    approve(site, run_id)
    expect(page.locator(".strip-status")).to_contain_text("Succeeded")
    assert box.evaluate("box => box.scrollTop") > 0
