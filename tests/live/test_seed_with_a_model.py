"""The autonomous run, word for word, on a fresh installation whose default agent is a model: it opens the site, skips the login
modal, finds the prices, and a verifier agrees. The vendor's SDK is real, the model behind it is the emulator."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

import psycopg
import pytest

from config.own_processes import wait_until
from tests.drivers.conftest import Site
from tests.emulator.server import Emulator, in_thread
from tests.emulator.story import Story, Turn
from tests.live.fresh import Fresh, installed
from tests.live.reading import block_of
from tests.live.test_seed_commands import SYSTEM_PROMPT
from tests.ops.test_up import ROOT
from tests.webhooks.receivers import Receiver, receiving, verify, verify_standard

pytestmark = pytest.mark.browser
HOME = """<!doctype html><meta charset=utf-8><title>Coasty</title><body style="margin:0;font:20px sans-serif">
<h1>Coasty</h1><a href="/pricing" style="position:absolute;left:100px;top:200px;width:200px;height:60px">Pricing</a>
<div id=modal style="position:fixed;inset:0;background:#fffe"><form style="margin:150px 400px"><h2>Sign in to Coasty</h2>
<input type=email><input type=password></form>
<button type=button style="position:absolute;left:500px;top:500px;width:200px;height:60px"
onclick="modal.remove(); fetch('/skipped')">Not now</button></div>"""
PRICING = "<!doctype html><meta charset=utf-8><title>Pricing</title><h1>Pricing</h1><p>Pro costs 20 a month"
SKIP = ("click", {"x": 600, "y": 530, "button": "left", "count": 1})
LINK = ("click", {"x": 150, "y": 220, "button": "left", "count": 1})
END = ("finish", {"passed": True, "summary": "The pricing page is open: Pro costs 20 a month."})
VERDICT = '{"verdict": "pass", "reasons": ["The page lists prices."], "evidence": ["Pro costs 20 a month"]}'
PROFILES = {"claude": "anthropic", "local": "compatible"}  # as the environment names them


def story(home: str) -> Story:
    return Story(
        [
            Turn([("open_url", {"url": home})], text="I open the website.", thinking="Coasty has a website."),
            Turn([SKIP, LINK], text="I skip the login.", thinking="A login modal: I was told to skip it."),
            Turn([("page_text", {})], thinking="Are these the prices?"),
            Turn([END], thinking="They are."),
        ],
        schema=[Turn(text=VERDICT)],
    )


@contextmanager
def coasty() -> Iterator[Site]:
    site = Site()
    site.page(HOME)
    site.page(PRICING, "/pricing")
    Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield site
    site.server.shutdown()
    site.server.server_close()


@dataclass
class Place:
    """A fresh installation, the site that its machines may visit, and who answers as its models."""

    fresh: Fresh
    site: Site
    emulator: Emulator

    def manage(self, *words: str) -> None:
        environment = {"DATA_DIR": str(self.fresh.folder), "DJANGO_SETTINGS_MODULE": "config.settings"}
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    pytest.importorskip("anthropic")
    pytest.importorskip("openai")
    with coasty() as site, in_thread(Emulator({"coasty": story(f"http://{site.host}/")})) as emulator:
        environment = {
            "ANTHROPIC_API_KEY": "sk-ant-not-a-real-one", "ANTHROPIC_BASE_URL": emulator.url("anthropic"),
            "MODEL_BASE_URL": emulator.url("compatible"), "MACHINE_ALLOWED_HOSTS": site.host,
        }  # fmt: skip
        for fresh in installed("browser", **environment):
            yield Place(fresh, site, emulator)
    assert emulator.refused == []


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def started(fresh: Fresh, hook: str) -> Any:
    body = {
        "machine_id": fresh.machine("browser"), "task": "Open the Coasty website and find the pricing page",
        "cua_version": "v4", "instructions": "If you see a login modal, skip it", "system_prompt": SYSTEM_PROMPT,
        "max_steps": 200, "deadline_seconds": 600, "on_awaiting_human": "pause", "webhook_url": hook,
    }  # fmt: skip
    return fresh.ok("POST", "/v1/runs", body)


@pytest.mark.parametrize("profile", list(PROFILES))
def test_the_second_command_is_done_by_a_model_and_verified(place: Place, receiver: Receiver, profile: str) -> None:
    fresh, site = place.fresh, place.site
    site.asked.clear()
    place.emulator.bodies.clear()
    place.manage("models", "default", profile, "--anyway")
    made = started(fresh, receiver.url)
    run_id, secret = made["id"], made["webhook_secret"]
    run = fresh.reaches(run_id, "succeeded", "failed", "awaiting_human", seconds=90)
    assert (run["state"], run["agent"], run["steps_completed"]) == ("succeeded", profile, 3), run
    assert {name: run["result"][name] for name in ("passed", "verdict", "summary")} == {
        "passed": True, "verdict": "pass", "summary": "The pricing page is open: Pro costs 20 a month.",
    }  # fmt: skip
    assert [line for line in site.asked if "favicon" not in line] == ["GET /", "GET /skipped", "GET /pricing"]
    the_model_was_told(place, PROFILES[profile])
    the_log_goes_on_after_any_event(fresh, run_id)
    the_ledger_is_exact(fresh, run)
    the_end_is_sent_signed(receiver, run_id, secret)


def the_model_was_told(place: Place, wire: str) -> None:
    """The caller's prompt stands in place of ours; the page never speaks there; who verifies is another conversation."""
    bodies = [body for body in place.emulator.bodies if body.wire == wire]
    systems = [str(body.json.get("system") or body.json["messages"][0]) for body in bodies[:4]]
    assert len(systems) == 4
    assert all(SYSTEM_PROMPT in words and "If you see a login modal, skip it" in words for words in systems)
    [verified] = [body for body in place.emulator.bodies if "You verify whether" in str(body.json)]
    assert "The pricing page is open" not in str(verified.json)
    assert len(place.emulator.bodies) == 5


def the_log_goes_on_after_any_event(fresh: Fresh, run_id: str) -> None:
    whole = [block_of(raw) for raw in blocks(fresh.call("GET", f"/v1/runs/{run_id}/events").content)]
    kinds = [block.event for block in whole]
    assert kinds.count("tool_call") == kinds.count("tool_result") == kinds.count("step") == 3
    assert kinds.count("reasoning") >= 4
    assert kinds[-1] == "done"
    for at in (1, len(whole) // 2, len(whole) - 1):
        rest = fresh.call("GET", f"/v1/runs/{run_id}/events", Last_Event_ID=str(whole[at - 1].id)).content
        assert [block_of(raw) for raw in blocks(rest)] == whole[at:]
    assert fresh.call("GET", f"/v1/runs/{run_id}/events", Last_Event_ID=str(whole[-1].id)).status_code == 204


def blocks(content: bytes) -> list[bytes]:
    return [raw for raw in content.split(b"\n\n") if raw and not raw.startswith(b":")]


def the_ledger_is_exact(fresh: Fresh, run: Any) -> None:
    """Three steps are paid and no more; what the vendor takes stands beside it."""
    calls = fresh.ok("GET", f"/v1/runs/{run['id']}/calls")["data"]
    assert [call["purpose"] for call in calls] == ["act"] * 4 + ["verify"]
    assert {call["status"] for call in calls} == {"ok"}
    with psycopg.connect(fresh.installation.database()) as connection:
        query = (
            "SELECT step_index, amount_cents FROM billing_transaction WHERE run_id = %s AND type = 'capture' ORDER BY 1"
        )
        paid = connection.execute(query, [run["id"]]).fetchall()
    assert [index for index, _ in paid] == [1, 2, 3]
    assert sum(cents for _, cents in paid) == run["cost_cents"] > 0


def the_end_is_sent_signed(receiver: Receiver, run_id: str, secret: str) -> None:
    assert wait_until(lambda: receiver.about(run_id) == ["run.succeeded"], 20, 0.1), receiver.events
    [got] = receiver.got
    verify(got, secret)
    verify_standard(got, secret)
    assert (got.body["run"]["id"], got.body["result"]["verdict"]) == (run_id, "pass")
