"""The official client of MCP asks, the web process dies, a person decides in a real browser, and the program goes on."""

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from config.own_processes import wait_until
from tests.browser.conftest import Open, Site, ready
from tests.live.web_process import answers, process_behind
from tests.mcp_server.desk import desk

MAIL = {"action": "mail.send", "params": {"to": "a@shop.test"}, "reason": "The parcel was lost."}


def restarted(site: Site) -> None:
    """Killed in the middle of its work; its parent starts it anew."""
    before = process_behind(site.address)
    os.kill(before, signal.SIGKILL)
    assert wait_until(lambda: not Path(f"/proc/{before}").exists(), 20, 0.1)
    assert wait_until(lambda: answers(site.address), 60, 0.1)


def approve(page: Page) -> None:
    ready(page)
    page.get_by_role("button", name=re.compile("^Approve")).click()


def reject(page: Page) -> None:
    ready(page)
    page.keyboard.press("r")
    page.get_by_label("Reason").fill("Too dear.")
    page.get_by_role("button", name="Reject", exact=True).click()


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_program_goes_on_with_what_a_person_said(site: Site, look: Open, mode: str) -> None:
    page = look("ana")
    with desk(site.address, site.test_key, mode) as client:
        asked = [client.tool("request_approval", **MAIL, external_id=f"{mode} {n}") for n in range(2)]
    restarted(site)
    with desk(site.address, site.test_key, mode) as client, ThreadPoolExecutor(1) as beside:
        for request, decide, status, note in zip(
            asked, (approve, reject), ("approved", "rejected"), (None, "Too dear."), strict=True
        ):
            waiting = beside.submit(client.tool, "get_approval", id=request["id"], wait=30)
            page.goto(f"/approvals/{request['id']}")
            expect(page.locator(".card")).to_contain_text("The parcel was lost.")
            decide(page)
            said: dict[str, Any] = waiting.result(30)
            assert (said["status"], said["note"], said["decided_by"]) == (status, note, "ana")
            assert said["action"] == {"name": "mail.send", "params": {"to": "a@shop.test"}}
