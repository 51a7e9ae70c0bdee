"""Calls that a model or a broken line repeats, at the same moment."""

from typing import Any

import pytest

from approvals.models import Approval
from runs.models import Run
from tests.at_once import at_once
from tests.cast import Cast
from tests.mcp_server.calls import NEW, OLD, Mcp

pytestmark = pytest.mark.django_db(transaction=True)
MAIL = {"action": "mail.send", "params": {"to": "a@shop.test"}, "reason": "The parcel was lost."}


@pytest.mark.parametrize("version", [OLD, NEW])
@pytest.mark.parametrize(
    ("name", "arguments"), [("start_run", {"task": "x", "agent": "scripted"}), ("request_approval", MAIL)]
)
def test_one_name_is_one_thing(cast: Cast, version: str, name: str, arguments: dict[str, Any]) -> None:
    key = cast.api(test=True).key
    answers = at_once(*[lambda: Mcp(key, version=version).tool(name, **arguments, external_id="order 7")] * 5)
    assert len({answer["id"] for answer in answers}) == 1, answers
    assert Run.objects.count() + Approval.objects.count() == 1


def test_a_task_that_is_taken_back_while_it_is_decided_has_one_end(cast: Cast) -> None:
    client, person = Mcp(cast.api(test=True).key, tasks=True), cast.api(test=True, owner="ana")
    task_id = client.result("tools/call", {"name": "request_approval", "arguments": MAIL})["taskId"]
    _, decided = at_once(
        lambda: client.result("tasks/cancel", {"taskId": task_id}),
        lambda: person.post(f"/approvals/{task_id}/decide", {"verdict": "approve"}).status_code,
    )
    end = client.result("tasks/get", {"taskId": task_id})
    assert (end["status"], decided) in (("cancelled", 409), ("completed", 200))
