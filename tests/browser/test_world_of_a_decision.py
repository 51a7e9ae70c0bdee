"""A tab decides in the world that it shows, whatever another tab has switched to; and what was refused is always said."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Open, Site, ready

pytestmark = [pytest.mark.browser]


@pytest.fixture(autouse=True)
def _sessions_of_its_own(site: Site) -> Iterator[None]:
    """These tests change which world a session looks at."""
    site.sessions.clear()
    yield
    site.sessions.clear()


def switch_elsewhere(page: Page, world: str) -> None:
    """Another tab of the same browser looks at the other world."""
    other = page.context.new_page()
    other.goto("/runs")
    other.get_by_role("button", name=world, exact=True).click()
    expect(other.get_by_text("TEST WORLD")).to_have_count(0 if world == "Live" else 1)
    other.close()


@pytest.mark.parametrize("path", ["/", "/approvals/{request}", "/runs/{run}"])
def test_a_tab_of_the_other_world_decides_in_its_own(site: Site, look: Open, path: str) -> None:
    run_id, request = site.waiting("tabs [pause]")
    page = look("ana", path.format(request=request, run=run_id))
    ready(page)
    switch_elsewhere(page, "Live")
    page.keyboard.press("a")
    site.reaches(run_id, "succeeded")
    expect(page.locator("#live")).to_contain_text("Approved by you")
    page.reload()
    expect(page.get_by_text("TEST WORLD")).to_be_visible()


def test_the_picture_is_of_the_world_of_the_tab(site: Site, look: Open) -> None:
    _, first = site.waiting("pictures [pause]")
    _, second = site.waiting("pictures [pause]")
    page = look("ana", f"/?open={first}")
    switch_elsewhere(page, "Live")
    page.locator(f"#open-{second}").click()
    page.locator(f"[data-card='{second}']").wait_for()
    page.wait_for_function("() => document.querySelector('.picture .shot img').complete")
    assert page.locator(".picture .shot img").evaluate("image => image.naturalWidth") > 0


def test_what_happens_later_comes_from_the_world_of_the_tab(site: Site, look: Open) -> None:
    page = look("ana")
    expect(page.get_by_text("Nothing waits for a person.")).to_be_visible()
    switch_elsewhere(page, "Live")
    _, request = site.waiting("comes later [pause]")
    expect(page.locator(f"#row-{request}")).to_be_visible()


def test_without_scripts_a_tab_decides_in_its_world_too(site: Site, look: Open) -> None:
    run_id, request = site.waiting("no script [pause]")
    page = look("ana", f"/approvals/{request}", java_script_enabled=False)
    switch_elsewhere(page, "Live")
    page.get_by_role("button", name="Approve").click()
    site.reaches(run_id, "succeeded")
    expect(page.locator(".card")).to_contain_text("Approved by you")
    expect(page.get_by_text("TEST WORLD")).to_be_visible()


@pytest.mark.parametrize("path", ["/approvals/{request}", "/runs/{run}", "/?open={request}"])
def test_a_page_of_the_other_world_says_where_it_is_and_opens_there(site: Site, look: Open, path: str) -> None:
    run_id, request = site.waiting("elsewhere [pause]")
    page = look("ana", path.format(request=request, run=run_id), world="live")
    expect(page.get_by_text("It is in the test world")).to_be_visible()
    page.get_by_role("button", name="Open in Test").click()
    expect(page).to_have_url(re.compile(re.escape(path.format(request=request, run=run_id))))
    expect(page.locator(".card")).to_contain_text("elsewhere")
    page.goto("/approvals/apr_nowhere")
    expect(page.get_by_role("heading", name="Nothing here")).to_be_visible()
    expect(page.get_by_role("button", name="Open in")).to_have_count(0)


def elsewhere(route: Route) -> None:
    route.continue_(url=re.sub("apr_[^/]+", "apr_none", route.request.url))


def conflict(route: Route) -> None:
    route.fulfill(status=409, body="")


@pytest.mark.parametrize(
    ("answer", "words"), [(elsewhere, "Nothing here"), (conflict, "Nothing was decided: the server answered 409")]
)
def test_a_decision_that_is_refused_is_never_silent(site: Site, look: Open, answer: Any, words: str) -> None:
    run_id, request = site.waiting("refuse me [pause]")
    page = look("ana")
    ready(page)
    page.route("**/decide", answer)
    page.keyboard.press("a")
    expect(page.get_by_role("alert").filter(has_text=words)).to_be_in_viewport()
    expect(page.locator(f"[data-card='{request}']")).to_be_visible()
    page.unroute("**/decide")
    page.keyboard.press("a")
    site.reaches(run_id, "succeeded")
    expect(page.locator("#refusal")).to_be_empty()
