"""One life of an installation on a bare computer: started by make, used as the README says, stopped."""

import os
import re
import signal
import socket
import subprocess
from types import TracebackType
from typing import Any, Self

import httpx
from playwright.sync_api import Page, sync_playwright

from config.own_processes import wait_until
from tests.bare.computer import ROOT, Computer
from tests.chromium import program

START_SECONDS = 600  # how long is too long is judged in __main__.py
RUN_SECONDS = 120
LOOKS = 12  # more than a card has screens


class Round:
    """`with Round(computer) as one:` is an installation that answers."""

    def __init__(self, computer: Computer, *, offline: bool = False, namespaces: bool = True) -> None:
        self.computer = computer
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = computer.place / "said.txt"
        self.process = computer.start(
            ["make", "run"], self.log, offline=offline, namespaces=namespaces, PORT=str(self.port)
        )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def __enter__(self) -> Self:
        there = lambda: "Ctrl-C stops everything" in self.said or self.process.poll() is not None  # noqa: E731
        if not wait_until(there, START_SECONDS, 0.2) or self.process.poll() is not None:
            self.computer.kill_all()
            raise AssertionError(f"make run did not come up.\n{self.said}")
        kept = (self.computer.checkout / ".data/first-run.txt").read_text()
        self.email, self.password = re.search(r"Sign in +(\S+) +(\S+)", kept).groups()  # type: ignore[union-attr]
        self.key = re.search(r"cs_live_\S+", kept)[0]  # type: ignore[index]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind:
            print(self.said)
        os.killpg(self.process.pid, signal.SIGINT)  # as Ctrl-C does it
        try:
            self.process.wait(30)
            assert kind or wait_until(lambda: not self.computer.processes(), 10), self.computer.processes()
        finally:
            self.computer.kill_all()

    def says(self, words: str) -> None:
        assert wait_until(lambda: words in self.said, RUN_SECONDS, 0.2), f"{words!r} is not in:\n{self.said}"

    def call(self, path: str) -> Any:
        answer = httpx.get(f"{self.address}/v1{path}", headers={"X-API-Key": self.key}, timeout=20)
        assert answer.is_success, answer.text
        return answer.json()

    def machines(self) -> dict[str, dict[str, Any]]:
        return {machine["display_name"]: machine for machine in self.call("/machines")["data"]}

    def has_machine(self, name: str) -> None:
        """It appears by itself, runs, and shows a picture."""
        there = lambda: self.machines().get(name, {}).get("status") == "running"  # noqa: E731
        assert wait_until(there, RUN_SECONDS * 2, 0.3), f"{self.machines()}\n{self.said}"
        assert self.call(f"/machines/{self.machines()[name]['id']}/screenshot")["width"] == 1280

    def first_run(self) -> None:
        """The commands of the README up to the request, Approve in a browser elsewhere, success."""
        run_id = self._curl()
        status = lambda: self.call(f"/runs/{run_id}")["status"]  # noqa: E731
        assert wait_until(lambda: status() != "queued" and status() != "running", RUN_SECONDS, 0.2), status()
        assert status() == "awaiting_human", self.call(f"/runs/{run_id}")
        self._approve()
        assert wait_until(lambda: status() not in {"awaiting_human", "running"}, RUN_SECONDS, 0.2), status()
        assert status() == "succeeded", self.call(f"/runs/{run_id}")

    def _curl(self) -> str:
        """What stands in the README, with this address and key, up to the id of the run."""
        block = (ROOT / "README.md").read_text().split("## First run", 1)[1].split("```")[1].removeprefix("sh\n")
        commands = block.split("\ncurl -N", 1)[0]
        commands = commands.replace("http://127.0.0.1:8000", self.address).replace("cs_live_...", self.key)
        bash = ["bash", "-ec", f'{commands}\necho "$RUN"']
        done = subprocess.run(bash, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.startswith("run_"), done.stdout + done.stderr
        return done.stdout.strip()

    def _approve(self) -> None:
        found = program()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=found.path, env={**os.environ, **found.environment}, args=["--no-sandbox"]
            )
            page = browser.new_page(base_url=self.address)
            page.goto("/sign-in")
            page.get_by_label("E-mail").fill(self.email)
            page.get_by_label("Password").fill(self.password)
            page.get_by_role("button", name="Sign in").click()
            _approve_when_seen(page)
            browser.close()


def _approve_when_seen(page: Page) -> None:
    """Press the button as often as the card says: what came only now is not decided, what is unread it shows first."""
    answer = page.get_by_text(re.compile("Approved")).first
    button = page.get_by_role("button", name=re.compile("^Approve")).first
    for _ in range(LOOKS):
        page.locator("[data-bar][data-ready]").or_(answer).first.wait_for()
        if page.locator("form.htmx-request").count() or answer.is_visible():
            break
        button.click(force=True)
    answer.wait_for()
