"""axe-core finds nothing on the queue, on cards of every kind, on runs and on workflows; empty and full, light, dark, on a phone."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Open, Site, ready
from tests.browser.test_seen_before_decided import KINDS
from tests.browser.test_workflows_in_chromium import saved
from tests.workflows.documents import TRUE, approval, branch, loop, parallel, retry, succeed, task

pytestmark = [pytest.mark.browser]
AXE = (Path(__file__).parents[1] / "vendor" / "axe.min.js").read_text(encoding="utf-8")
WHICH = """{
    runOnly: { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] },
    rules: { "label-content-name-mismatch": { enabled: true }, "target-size": { enabled: true } },
}"""
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
STEPS = (
    task(),
    branch("choose", TRUE, [approval("may")], [succeed("no")]),
    loop("again", [retry("hard", [task("inner")])], count=2),
    parallel("both", [task("left")], [task("right")]),
)


def complaints(page: Page) -> list[str]:
    """What axe finds, by every rule that is no experiment, and the names of links: `rule: the element`."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'], ...WHICH })".replace("WHICH", WHICH))
    return [f"{rule['id']}: {node['html'][:100]}" for rule in found["violations"] for node in rule["nodes"]]


@pytest.mark.parametrize("mode", LOOKS)
def test_the_queue_and_every_kind_of_card(site: Site, look: Open, mode: str) -> None:
    page = look("ana", "/", **LOOKS[mode])
    found = {"empty queue": complaints(page)}
    asked = [site.waiting(f"kind {n} {words}", **more)[1] for n, (words, more) in enumerate(KINDS)]
    for request in asked:
        page.goto(f"/?open={request}")
        ready(page)
        page.evaluate("scrollTo(0, document.body.scrollHeight)")  # what the bar covers has its size further down
        found[request] = complaints(page)
    for path in (
        "/",
        f"/together?id={asked[1]}&id={asked[2]}",
        "/runs",
        "/approvals/statistics",
        "/approvals/statistics?from=x",
    ):
        page.goto(path)
        found[path] = complaints(page)
    assert not any(found.values()), "\n".join(f"{where}: {what}" for where, what in found.items() if what)


@pytest.mark.parametrize("mode", LOOKS)
def test_workflows_their_drawing_and_their_editor(site: Site, look: Open, mode: str) -> None:
    workflow = saved(site, f"axe-{mode}", *STEPS)
    run_id = site.call("POST", f"/workflows/{workflow}/runs", {})["id"]
    page = look("owner", "/", **LOOKS[mode])
    found = {}
    for path in (f"/workflows/{workflow}", f"/workflows/{workflow}/edit", f"/runs/{run_id}", "/workflows"):
        page.goto(path)
        if path.endswith("/edit"):
            page.get_by_role("textbox", name="Definition").wait_for()
        found[path] = complaints(page)
    assert not any(found.values()), "\n".join(f"{where}: {what}" for where, what in found.items() if what)


@pytest.mark.parametrize("mode", LOOKS)
def test_stops(site: Site, look: Open, mode: str) -> None:
    page = look("owner", "/stops/new", **LOOKS[mode])
    found = {"/stops/new": complaints(page)}
    stop_id = site.call("POST", "/stop", {"scope": "team", "reason": "The agent mails everybody."})["id"]
    try:
        for path in ("/stops", f"/stops/{stop_id}/lift", "/runs"):
            page.goto(path)
            page.get_by_text("STOPPED").wait_for()
            found[path] = complaints(page)
    finally:
        site.call("POST", f"/stop/{stop_id}/lift")
    page.goto("/stops")
    found["lifted"] = complaints(page)
    assert not any(found.values()), "\n".join(f"{where}: {what}" for where, what in found.items() if what)


@pytest.mark.parametrize("mode", LOOKS)
def test_the_page_of_the_api(site: Site, look: Open, chromium: Browser, mode: str) -> None:
    context = chromium.new_context(base_url=site.address, **LOOKS[mode])
    found = {}
    for who, page in (("signed in", look("owner", "/", **LOOKS[mode])), ("signed out", context.new_page())):
        page.goto("/v1/docs")
        for name in ("post--v1-runs", "get--v1-runs--run-id"):
            page.locator(f"details#{name} > summary").click()
        page.locator("details#post--v1-runs details > summary").click()
        page.locator("details#post--v1-runs").get_by_role("button", name="Execute").click()
        page.locator("details#post--v1-runs [data-answer]:not(:empty)").wait_for()
        found[who] = complaints(page)
    context.close()
    assert not any(found.values()), "\n".join(f"{where}: {what}" for where, what in found.items() if what)
