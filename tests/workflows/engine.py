"""Driving workflow runs inside a test: queued messages are delivered and child runs driven, until everything waits or has ended."""

from importlib import import_module
from typing import Any

from django_q.models import OrmQ

from database.sql import prepared
from tests.cast import Api
from tests.runs.driving import drive_all, show

Step = dict[str, Any]


def deliver() -> int:
    """Do what is queued for workflows; returns how many messages there were."""
    mine = [row for row in OrmQ.objects.order_by("id") if row.func().startswith("workflows.")]
    for row in mine:
        module, name = row.func().rsplit(".", 1)
        getattr(import_module(module), name)(*row.task["args"])
        prepared("DELETE FROM django_q_ormq WHERE id = %(id)s", {"id": row.id})
    return len(mine)


def work(rounds: int = 60) -> None:
    for _ in range(rounds):
        done = deliver()
        drive_all()
        if not done and not deliver():
            return
    raise AssertionError("The workflow run does not come to rest.")


def begin(api: Api, steps: list[Step], output: Any = None, **start: Any) -> dict[str, Any]:
    """A new run of these steps, which no worker has taken up."""
    definition = {"steps": steps} | ({"output": output} if output is not None else {})
    answer = api.post("/workflows/runs", {"definition": definition, **start})
    assert answer.status_code == 200, answer.content
    return answer.json()


def ran(api: Api, steps: list[Step], output: Any = None, **start: Any) -> dict[str, Any]:
    """A run of these steps that went as far as it goes."""
    made = begin(api, steps, output, **start)
    work()
    return show(api, made["id"])


def tasks_of(api: Api, run: dict[str, Any]) -> list[dict[str, Any]]:
    """The child runs, oldest first."""
    return api.get(f"/runs?parent_id={run['id']}").json()["data"]


def task(step_id: str = "t", text: str = "do it [steps:1]", **fields: Any) -> Step:
    return {"id": step_id, "type": "task", "task": text} | fields


def approval(step_id: str = "ok", **fields: Any) -> Step:
    return {"id": step_id, "type": "human_approval"} | fields


def check(step_id: str, left: Any, right: Any, **fields: Any) -> Step:
    return {"id": step_id, "type": "assert", "condition": {"op": "eq", "left": left, "right": right}} | fields
