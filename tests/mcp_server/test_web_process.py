"""Calls of /mcp to a real web process: those that wait when it ends, and those that are repeated while the first is at work."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.utils import timezone

from approvals.deciding import make_effective
from approvals.models import Approval
from runs.models import Run
from tests.cast import Cast
from tests.live.web_process import Web, process_behind
from tests.runs.driving import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def call(address: str, key: str, name: str, **arguments: Any) -> Any:
    """What a client of an earlier version is answered."""
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
    response = httpx.post(f"{address}/mcp", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_call_that_waits_is_answered_when_its_server_ends(web: Web, cast: Cast) -> None:
    address, key = web(), cast.api(test=True).key
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(call, address, key, "ask_human", question="Why?", wait=30)
        until(Approval.objects.exists, 30)
        os.kill(process_behind(address), signal.SIGTERM)
        answer = waiting.result(25)
    assert answer["id"] == 7
    assert answer["result"]["structuredContent"]["status"] == "pending"
    again = call(web(), key, "get_approval", id=Approval.objects.get().id, wait=1)
    assert again["result"]["structuredContent"]["status"] == "pending"


def test_a_call_waits_until_a_decision_stands(web: Web, cast: Cast) -> None:
    cast.team.undo_window_seconds = 60
    cast.team.save()
    address, key, person = web(), cast.api(test=True).key, cast.api(test=True)
    asked = call(address, key, "ask_human", question="Why?")["result"]["structuredContent"]["id"]
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(call, address, key, "get_approval", id=asked, wait=30)
        answer = {"verdict": "answer", "answers": {"answer": "Because."}}
        assert person.post(f"/approvals/{asked}/decide", answer).status_code == 200
        assert person.post(f"/approvals/{asked}/undo").status_code == 200
        assert person.post(f"/approvals/{asked}/decide", answer).status_code == 200
        window_is_over(asked)
        content = waiting.result(25)["result"]["structuredContent"]
    assert (content["status"], content["answer"]) == ("answered", "Because.")


def window_is_over(approval_id: str) -> None:
    Approval.objects.filter(id=approval_id).update(effective_at=timezone.now(), undo_until=timezone.now())
    assert make_effective(approval_id)


def test_a_call_that_is_repeated_while_the_first_is_at_work_starts_one_run(web: Web, cast: Cast) -> None:
    address, key = web(), cast.api(test=True).key
    with ThreadPoolExecutor(8) as beside:
        calls = [
            beside.submit(call, address, key, "start_run", task="x", agent="scripted", external_id="order 7")
            for _ in range(8)
        ]
        ids = {each.result(60)["result"]["structuredContent"]["id"] for each in calls}
    assert ids == set(Run.objects.values_list("id", flat=True))
    assert len(ids) == 1
