"""A whole installation on a free port, and a real Chromium before it. One of each for all the tests of a session."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from config.own_processes import wait_until
from tests.chromium import program

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a long enough password"


@dataclass
class Site:
    """A running installation with its owner's keys; the pages are looked at in its test world unless told otherwise."""

    address: str
    live_key: str
    test_key: str
    said: Path  # what it wrote, mails included: it has no mail server
    environment: dict[str, str]
    sessions: dict[tuple[str, str], Any] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        sent = {"X-API-Key": key or self.test_key}
        answer = httpx.request(method, f"{self.address}/v1{path}", json=body, headers=sent, timeout=20)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def start(self, task: str, **more: Any) -> str:
        return str(self.call("POST", "/runs", {"task": task, **more})["id"])

    def status(self, run_id: str) -> str:
        return str(self.call("GET", f"/runs/{run_id}")["status"])

    def reaches(self, run_id: str, *statuses: str) -> None:
        assert wait_until(lambda: self.status(run_id) in statuses, 20, 0.1), self.status(run_id)

    def waiting(self, task: str, **more: Any) -> tuple[str, str]:
        """A run that waits for a person: (run id, approval id)."""
        run_id = self.start(task, **more)
        self.reaches(run_id, "awaiting_human")
        return run_id, self.call("GET", f"/runs/{run_id}")["open_approvals"][0]

    def ask(self, **fields: Any) -> str:
        """What a program asks: the id of its request."""
        body = {"kind": "approval", "title": "May it?", "source": {"name": "CI"}, **fields}
        return str(self.call("POST", "/approvals", body)["id"])

    def join(self, name: str, role: str) -> None:
        """One more person of the team."""
        command = [sys.executable, "manage.py", "createuser", "--team", "demo", "--email", f"{name}@people.test",
                   "--password", PASSWORD, "--role", role]  # fmt: skip
        subprocess.run(command, cwd=ROOT, env=self.environment, check=True, capture_output=True)

    def clear(self) -> None:
        """No run and no program is left waiting, so that each test finds an empty queue."""
        for run in self.call("GET", "/runs?status=queued,running,awaiting_human&limit=200")["data"]:
            self.call("POST", f"/runs/{run['id']}/cancel", {})
        for request in self.call("GET", "/approvals?limit=200")["data"]:
            if request["subject"]["type"] == "external":
                self.call("POST", f"/approvals/{request['id']}/cancel", {})


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _new_database() -> Iterator[str]:
    """A database of its own on the server of the tests."""
    server, name = os.environ["DATABASE_URL"], f"pages_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    place = Path(tempfile.mkdtemp(prefix="countersign-pages-"))
    place.chmod(0o711)
    port, said = free_port(), place / "said.txt"
    databases = _new_database()
    environment = os.environ | {
        "DATA_DIR": str(place / "data"), "PORT": str(port), "DATABASE_URL": next(databases), "WORKERS": "1",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }  # fmt: skip
    with said.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "up"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        assert wait_until(lambda: "Ctrl-C stops everything" in said.read_text() or process.poll() is not None, 90), (
            said.read_text()
        )
        assert process.poll() is None, said.read_text()
        keys = (place / "data" / "first-run.txt").read_text()
        live, test = (re.search(rf"cs_{world}_\S+", keys) for world in ("live", "test"))
        assert live
        assert test
        made = Site(f"http://127.0.0.1:{port}", live[0], test[0], said, environment)
        for name, role in (("ana", "approver"), ("bea", "approver"), ("bob", "viewer"), ("owner", "owner")):
            made.join(name, role)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        next(databases, None)
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = program()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found.path, env={**os.environ, **found.environment}, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


Open = Callable[..., Page]


@pytest.fixture
def look(site: Site, chromium: Browser) -> Iterator[Open]:
    """look("ana", "/runs") is Ana's page in the test world. What the browser complains about fails the test."""
    site.clear()
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def enter(name: str, path: str = "/", *, world: str = "test", **options: Any) -> Page:
        context = chromium.new_context(
            base_url=site.address, storage_state=_session(site, chromium, name, world),
            **{"viewport": {"width": 1280, "height": 900}, **options},
        )  # fmt: skip
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
        page.goto(path)
        return page

    yield enter
    for context in contexts:
        context.close()
    assert complaints == []


def _session(site: Site, chromium: Browser, name: str, world: str) -> Any:
    """Signs in once for each person and world."""
    if (name, world) not in site.sessions:
        context = chromium.new_context(base_url=site.address)
        page = context.new_page()
        sign_in(page, name)
        if world == "test":
            page.get_by_role("button", name="Test", exact=True).click()
            page.get_by_text("TEST WORLD").wait_for()
        site.sessions[name, world] = context.storage_state()
        context.close()
    return site.sessions[name, world]


def ready(page: Page) -> None:
    """The card has been on the screen long enough to be decided by a key or a click."""
    page.locator("[data-bar][data-ready]").wait_for()


def say_yes(page: Page) -> None:
    """Press `a` on the open card until it is decided: it shows what is unread, leads to what is unanswered, wants `y`."""
    card = str(page.locator("[data-card]").get_attribute("data-card"))
    for _ in range(12):
        ready(page)
        if page.locator(f"[data-card='{card}']").count() == 0:
            return
        page.keyboard.press("a")
        if _press_on(page):
            break
    page.locator(f"[data-card='{card}']").wait_for(state="detached")


def _press_on(page: Page) -> bool:
    """Do what the card wants next; True when the decision is on its way."""
    if page.locator("form.htmx-request").count():
        return True
    if page.locator("[data-armed]").count():
        page.keyboard.press("y")
        return True
    field = page.evaluate("document.activeElement.closest('[data-card]') && document.activeElement.type")
    if field in ("radio", "checkbox"):
        page.keyboard.press("Space")
    if field == "textarea":
        page.keyboard.type("done")
        page.keyboard.press("Tab")
    if field in ("text", "password"):
        page.keyboard.type("eve@acme.test")
    if field in ("textarea", "text", "password"):
        page.keyboard.press("Enter")
        return True
    return False


def sign_in(page: Page, name: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill(f"{name}@people.test")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
