"""The main job, for real: `manage.py up`, a run on a terminal and one in a browser, everything stopped and started again while
they wait, Approve clicked in Chromium, the runs succeed, the ledger adds up."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, Page

from config.own_processes import wait_until
from tests.ops.test_up import Installation, Start, start, wait_for_ready  # noqa: F401

pytestmark = pytest.mark.browser
TERMINAL_TASK = "Create a file named approval.txt, ask for approval to finish, then check that the file approval.txt exists and stop"
FORM = b"<title>Form</title><form action=/sent><label>Name <input name=name></label><button>Send</button></form>"


class Site(BaseHTTPRequestHandler):
    """The page that the test serves: a form, and thanks to whoever sent it."""

    def do_GET(self) -> None:
        name = parse_qs(urlsplit(self.path).query).get("name", [""])[0]
        page = f"<title>Sent</title><h1>Thank you, {name}</h1>".encode() if self.path.startswith("/sent") else FORM
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def form(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("MACHINE_ALLOWED_HOSTS", f"127.0.0.1:{server.server_port}")
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class Caller:
    """The printed live key at work."""

    def __init__(self, one: Installation) -> None:
        printed = one.said
        self.key = re.search(r"cs_live_\S+", printed)
        sign_in = re.search(r"Sign in\s+(\S+)\s+(\S+)", printed)
        assert self.key is not None
        assert sign_in is not None
        self.email, self.password = sign_in.groups()
        self.base = f"http://127.0.0.1:{one.port}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        assert self.key is not None
        answer = httpx.request(
            method, f"{self.base}/v1{path}", json=body, headers={"X-API-Key": self.key[0]}, timeout=20
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, run_id: str) -> Any:
        return self.call("GET", f"/runs/{run_id}")

    def reaches(self, run_id: str, status: str, seconds: float = 60) -> None:
        assert wait_until(lambda: self.run(run_id)["status"] == status, seconds, 0.1), self.run(run_id)


def three_days_pass(one: Installation) -> None:
    """The clock jumps while everything runs: whatever is written down lies three days further back."""
    times = ("created_at", "started_at", "awaiting_human_since", "parked_at")
    with psycopg.connect(one.database()) as connection:
        changes = ", ".join(f"{name} = {name} - interval '3 days'" for name in times)
        connection.execute(f"UPDATE runs_run SET {changes}")
        connection.execute("UPDATE approvals_approval SET created_at = created_at - interval '3 days'")


def approve_in_the_browser(page: Page, caller: Caller, run_id: str) -> None:
    page.goto(f"{caller.base}/runs/{run_id}")
    page.get_by_role("button", name=re.compile("^Approve")).click()
    page.get_by_text("Succeeded").first.wait_for(timeout=30_000)


def test_two_runs_wait_over_a_restart_and_a_click_finishes_them(
    start: Start,  # noqa: F811
    form: str,
    chromium: Browser,
) -> None:
    first = start()
    wait_for_ready(first)
    caller = Caller(first)
    machines = {m["kind"]: m["id"] for m in caller.call("GET", "/machines")["data"]}
    browser_task = (
        f'open {form}/form, type "Ada" into "Name", click "Send", ask for approval to "go on", '
        'check that the URL contains "sent" and check that "Thank you, Ada" is visible'
    )
    tasks = {"terminal": TERMINAL_TASK, "browser": browser_task}
    runs = {
        kind: caller.call("POST", "/runs", {"machine_id": machines[kind], "task": task})["id"]
        for kind, task in tasks.items()
    }
    for run_id in runs.values():
        caller.reaches(run_id, "awaiting_human")
    assert first.stop() == 0
    assert first.processes() == []

    second = start()
    wait_for_ready(second)
    three_days_pass(second)
    for run_id in runs.values():
        assert caller.run(run_id)["status"] == "awaiting_human"
    context = chromium.new_context()
    page = context.new_page()
    page.goto(caller.base)
    page.get_by_label("E-mail").fill(caller.email)
    page.get_by_label("Password").fill(caller.password)
    page.get_by_role("button", name="Sign in").click()
    for run_id in runs.values():
        approve_in_the_browser(page, caller, run_id)
    context.close()

    for kind, steps in {"terminal": 2, "browser": 5}.items():
        run = caller.run(runs[kind])
        assert (run["status"], run["result"]["passed"], run["steps_completed"]) == ("succeeded", True, steps), run
        events = caller.call("GET", f"/runs/{runs[kind]}/events?format=json&limit=200")["data"]
        assert [e["type"] for e in events].count("resumed") == 1
        assert [e["data"]["step"] for e in events if e["type"] == "tool_call"] == list(range(1, steps + 1))
        charges = caller.call("GET", f"/billing/ledger?run_id={runs[kind]}&type=capture")["data"]
        assert [c["amount_cents"] for c in charges] == [5] * steps
    home = second.data_dir / "machines" / machines["terminal"] / "home"
    assert (home / "approval.txt").is_file()
    balance = caller.call("GET", "/billing/balance")
    assert (balance["balance_cents"], balance["held_cents"], balance["ledger_ok"]) == (10_000 - 7 * 5, 0, True)
    assert second.stop() == 0
    assert second.processes() == []
