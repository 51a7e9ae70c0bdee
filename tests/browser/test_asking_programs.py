"""Programs of other frameworks ask, a person clicks in a real browser, and the programs go on: the examples of docs/ask.md."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Site, ready
from tests.clients.frameworks import lines, start

PROGRAMS = [
    pytest.param("langgraph", "ask_langgraph.py", id="langgraph"),
    pytest.param("openai-agents", "ask_openai_agents.py", id="openai-agents"),
    pytest.param("browser-use", "ask_browser_use.py", id="browser-use", marks=pytest.mark.slow),
]


@pytest.fixture
def _asking(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Programs find this installation by their environment; nothing of theirs is left waiting."""
    monkeypatch.setenv("COUNTERSIGN_URL", site.address)
    monkeypatch.setenv("COUNTERSIGN_API_KEY", site.test_key)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    for approval in site.call("GET", "/approvals?limit=200")["data"]:
        site.call("POST", f"/approvals/{approval['id']}/cancel", {})


def card(page: Page, amount: str) -> None:
    """The card of this payment, once the program has asked and the page has heard of it."""
    expect(page.locator(".card")).to_contain_text(amount, timeout=90_000)
    ready(page)


def approve(page: Page, amount: str) -> None:
    card(page, amount)
    page.get_by_role("button", name=re.compile("^Approve")).click()


def reject(page: Page, amount: str, reason: str) -> None:
    card(page, amount)
    page.keyboard.press("r")
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name="Reject", exact=True).click()


@pytest.mark.usefixtures("_asking")
@pytest.mark.parametrize(("framework", "script"), PROGRAMS)
def test_a_click_lets_the_program_go_on(site: Site, look: Open, tmp_path: Path, framework: str, script: str) -> None:
    page = look("ana")
    program = start(framework, script, str(tmp_path / "name"), "4017")
    approve(page, "4017")
    assert lines(program) == ["paid 4017"]


@pytest.mark.usefixtures("_asking")
@pytest.mark.parametrize(("framework", "script"), PROGRAMS)
def test_a_rejection_reaches_the_program_with_its_reason(
    site: Site, look: Open, tmp_path: Path, framework: str, script: str
) -> None:
    page = look("ana")
    program = start(framework, script, str(tmp_path / "name"), "9018")
    reject(page, "9018", "Not before the audit.")
    (printed,) = lines(program)
    assert "Not before the audit." in printed
    assert "paid 9018" not in printed
