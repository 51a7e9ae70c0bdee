"""Workflows on the machines of a fresh installation: `manage.py up`, the document as a caller sends it, a click in Chromium."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from config.own_processes import wait_until
from tests.browser.test_main_job import Caller
from tests.ops.test_up import Start, start, wait_for_ready  # noqa: F401
from workflows.definition.examples import examples

pytestmark = pytest.mark.browser
SETUP_AND_TEST = {
    "name": "setup-and-test", "version": "1.0.0", "steps": [
        {"id": "start_up", "type": "task", "task": "Start the web server and wait for it to listen on port 8080",
         "max_steps": 20},
        {"id": "is_up", "type": "assert",
         "condition": {"type": "field_equals", "field": "start_up.status", "value": "succeeded"}},
        {"id": "run_test", "type": "task", "task": "Run the integration test suite", "max_steps": 50},
        {"id": "passed", "type": "assert",
         "condition": {"type": "field_equals", "field": "run_test.status", "value": "succeeded"}},
        {"id": "human_ok", "type": "human_approval", "instruction": "Review the test results"},
        {"id": "stop_server", "type": "task", "task": "Stop the web server", "max_steps": 10},
        {"id": "done", "type": "succeed", "message": "Set up and tested."},
    ],
}  # fmt: skip
SUITE = (
    "mkdir -p tests && printf 'import unittest\\n\\nclass T(unittest.TestCase):\\n"
    "    def test_sum(self):\\n        self.assertEqual(1 + 1, 2)\\n' > tests/test_sum.py && touch tests/__init__.py"
)
FORM = """<title>Order</title><form action=/sent><label>Customer name <input name=name></label>
<label>E-mail address <input name=mail type=email></label><fieldset><legend>Pizza size</legend>
<label><input type=radio name=size value=m> Medium</label></fieldset>
<label>Delivery instructions <textarea name=words></textarea></label><button>Submit order</button></form>"""


class Shop(BaseHTTPRequestHandler):
    """An order form, and what was ordered."""

    def do_GET(self) -> None:
        given = parse_qs(urlsplit(self.path).query)
        page = f"<title>Sent</title><p>{given}</p>" if self.path.startswith("/sent") else FORM
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Shop)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("MACHINE_ALLOWED_HOSTS", f"127.0.0.1:{server.server_port}")
    yield f"http://127.0.0.1:{server.server_port}/order"
    server.shutdown()
    server.server_close()
    thread.join()


def test_workflows_run_on_the_machines_of_a_fresh_installation(
    start: Start,  # noqa: F811
    shop: str,
    chromium: Browser,
) -> None:
    installation = start()
    wait_for_ready(installation)
    caller = Caller(installation)
    assert wait_until(lambda: set(_machines(caller, "status")) == {"running"}, 60, 0.1), _machines(caller, "status")
    machines = dict(zip(_machines(caller, "kind"), _machines(caller, "id"), strict=True))
    _a_person_approves_in_the_browser(caller, machines["terminal"], chromium)
    _the_examples_succeed(caller, machines, shop)
    balance = caller.call("GET", "/billing/balance")
    assert balance["ledger_ok"] is True
    assert balance["held_cents"] == 0
    assert installation.stop() == 0
    assert installation.processes() == []


def _machines(caller: Caller, key: str) -> list[str]:
    return [machine[key] for machine in caller.call("GET", "/machines")["data"]]


def _a_person_approves_in_the_browser(caller: Caller, machine: str, chromium: Browser) -> None:
    made = caller.call("POST", f"/machines/{machine}/terminal", {"command": SUITE})
    assert made["exit_code"] == 0, made
    workflow = caller.call("POST", "/workflows", SETUP_AND_TEST)
    run = caller.call("POST", f"/workflows/{workflow['id']}/runs", {"machine_id": machine})
    caller.reaches(run["id"], "awaiting_human")
    waiting = caller.run(run["id"])
    assert (waiting["awaiting_step_id"], waiting["awaiting_human_reason"]) == ("human_ok", "Review the test results")
    context = chromium.new_context()
    page = context.new_page()
    _sign_in(page, caller)
    page.goto(f"{caller.base}/runs/{run['id']}")

    def drawn(step: str) -> Locator:
        return page.locator(f'.graph-node[href="#step-{step}"]')

    expect(drawn("human_ok")).to_have_class(re.compile("is-waiting"))
    expect(drawn("stop_server")).not_to_have_class(re.compile("is-"))
    page.get_by_role("button", name=re.compile("^Approve")).click()
    expect(page.get_by_text("The workflow succeeded.")).to_be_visible(timeout=30_000)
    for step in ("human_ok", "stop_server", "done"):
        expect(drawn(step)).to_have_class(re.compile("is-done"))
    context.close()
    ended = caller.run(run["id"])
    assert (ended["status"], ended["result"]["summary"]) == ("succeeded", "Set up and tested.")
    tasks = caller.call("GET", f"/runs?parent_id={run['id']}")["data"]
    charged = [
        charge["amount_cents"]
        for task in tasks
        for charge in caller.call("GET", f"/billing/ledger?run_id={task['id']}&type=capture")["data"]
    ]
    assert charged == [5] * ended["steps_completed"]
    assert sum(charged) == ended["cost_cents"]


def _sign_in(page: Page, caller: Caller) -> None:
    page.goto(caller.base)
    page.get_by_label("E-mail").fill(caller.email)
    page.get_by_label("Password").fill(caller.password)
    page.get_by_role("button", name="Sign in").click()


def _the_examples_succeed(caller: Caller, machines: dict[str, str], shop: str) -> None:
    """One after the other: all but one work on the same terminal."""
    for name, body in examples().items():
        workflow = caller.call("POST", "/workflows", body)
        form = name == "browser-form"
        start_body = {"machine_id": machines["browser" if form else "terminal"]} | (
            {"inputs": {"address": shop}} if form else {}
        )
        run_id = caller.call("POST", f"/workflows/{workflow['id']}/runs", start_body)["id"]
        assert wait_until(lambda run_id=run_id: _goes_on(caller, run_id), 60, 0.1), (name, caller.run(run_id))
        assert caller.run(run_id)["status"] == "succeeded", (name, caller.run(run_id))


def _goes_on(caller: Caller, run_id: str) -> bool:
    """Approve whatever it asks; True once it has ended."""
    run = caller.run(run_id)
    for approval_id in run["open_approvals"]:
        caller.call("POST", f"/approvals/{approval_id}/decide", {"verdict": "approve"})
    return run["status"] not in ("queued", "running", "awaiting_human")
