"""What a crash, a message that comes twice, and one that is lost do to a workflow run: nothing."""

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from django.test import override_settings
from django.utils import timezone
from django_q.models import OrmQ
from hypothesis import given
from hypothesis import strategies as st

from runs.driving import leases
from runs.models import Run
from tests.cast import Api
from tests.chance import SOME_TRIED
from tests.runs.driving import Inline, Once, go, kinds, show
from tests.workflows.documents import FALSE, TRUE, eq, is_valid, numbered
from tests.workflows.engine import begin, tasks_of
from workflows import clock, tasks
from workflows.interpreter import control_flow
from workflows.interpreter.effects import Effect
from workflows.models import Execution, Ticket
from workflows.runs import running

OUTPUT = {"first": "{{t0.passed}}", "second": "{{t1.status}}", "in": "{{vars.iteration}}", "on": "{{vars.attempt}}"}
TASKS = ["x [steps:0]", "x [steps:1]", "x [steps:1] [fail]"]
CONDITIONS = st.sampled_from([TRUE, TRUE, FALSE, eq("{{vars.attempt}}", 2), {"op": "truthy", "value": "{{t0.passed}}"}])
leaves = st.fixed_dictionaries({"type": st.just("task"), "task": st.sampled_from(TASKS)}) | st.fixed_dictionaries(
    {"type": st.just("assert"), "condition": CONDITIONS}
)


def around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, min_size=1, max_size=2)
    return (
        st.fixed_dictionaries({"type": st.just("if"), "condition": CONDITIONS, "then": lists, "else": lists})
        | st.fixed_dictionaries({"type": st.just("loop"), "count": st.integers(1, 3), "body": lists})
        | st.fixed_dictionaries({"type": st.just("retry"), "max_attempts": st.integers(1, 2), "body": lists})
        | st.fixed_dictionaries({"type": st.just("parallel"), "branches": st.lists(lists, min_size=2, max_size=3)})
    )


documents = st.lists(st.recursive(leaves, around, max_leaves=5), min_size=1, max_size=3).map(numbered)


class Crash(BaseException):
    """The worker dies here: nothing after it runs, and its transaction is undone."""


def crashing(after: int) -> type[running._Effects]:
    """The doing of effects, by a worker that dies before effect number `after`, or behind the last one."""

    class Dying(running._Effects):
        def apply(self, effects: list[Effect]) -> None:
            self.left = after
            super().apply(effects)
            raise Crash

        def _do(self, effect: Effect) -> None:
            self.left -= 1
            if self.left < 0:
                raise Crash
            super()._do(effect)

    return Dying


def call(row: OrmQ) -> None:
    module, name = row.func().rsplit(".", 1)
    getattr(import_module(module), name)(*row.task["args"])


def crash(row: OrmQ, chance: Random) -> None:
    with patch.object(running, "_Effects", crashing(chance.randrange(4))), pytest.raises(Crash):
        call(row)


def lost(row: OrmQ) -> None:
    """Nobody gets the message; a while later the clock does what it was about."""
    long_ago = timezone.now() - clock.LATE - timedelta(seconds=1)
    about = row.task["args"][0]
    match row.func().rsplit(".", 1)[1]:
        case "begin":
            Run.objects.filter(id=about).update(created_at=long_ago)
            assert clock.begin_late() == 1
        case "go_on":
            Execution.objects.filter(run_id=about).update(changed_at=long_ago)
            assert clock.go_on_late() == 1
        case "task_ended":
            Run.objects.filter(id=about).update(finished_at=long_ago)
            assert clock.tell_late() == 1


def deliver_badly(row: OrmQ, chance: Random) -> None:
    if changes_nothing(row):
        call(row)
        return
    match chance.choice(["once", "twice", "crash", "lost", "crash and lost"]):
        case "once":
            call(row)
        case "twice":
            call(row)
            call(row)
        case "crash":
            crash(row, chance)
            call(row)
        case "lost":
            lost(row)
        case _:
            crash(row, chance)
            lost(row)


def changes_nothing(row: OrmQ) -> bool:
    """A task that was given up ended, which nobody waits for; or the control flow went on already, by a message that came twice."""
    about = row.task["args"][0]
    match row.func().rsplit(".", 1)[1]:
        case "task_ended":
            return not Ticket.objects.filter(ref=about, open=True, execution__run__finished_at=None).exists()
        case "go_on":
            return not Execution.objects.filter(run_id=about, cut=True, run__finished_at=None).exists()
    return False


def played(api: Api, steps: list[Any], deliver: Callable[[OrmQ], None]) -> dict[str, Any]:
    """The run at its end. Messages are delivered in their order, tasks driven in theirs."""
    run = begin(api, steps, OUTPUT, max_iterations=12)
    for _ in range(300):
        row = next((r for r in OrmQ.objects.order_by("id") if r.func().startswith("workflows.")), None)
        if row is not None:
            row.delete()
            deliver(row)
        elif claimed := leases.claim(Inline.name, 1):
            ((run_id, epoch),) = claimed
            go(Once(Inline(), run_id, epoch))
            leases.let_go(run_id, Inline.name, epoch)
        else:
            return what_became_of(api, run)
    raise AssertionError("The run does not come to rest.")


def what_became_of(api: Api, run: dict[str, Any]) -> dict[str, Any]:
    shown = show(api, run["id"])
    assert shown["finished_at"], shown
    facts = {key: shown[key] for key in ("status", "output", "error", "cost_cents", "iterations_used")}
    children = [(task["task"], task["status"], task["cost_cents"]) for task in tasks_of(api, run)]
    return facts | {"tasks": children, "log": kinds(run["id"])}


@SOME_TRIED
@given(documents.filter(is_valid), st.integers(0, 2**32))
def test_a_run_ends_the_same_whatever_is_lost_doubled_or_killed(test_key: Api, steps: list[Any], seed: int) -> None:
    chance = Random(seed)
    limits = override_settings(RATE_LIMIT_PER_MINUTE=10**6, RATE_LIMIT_RUNS_PER_MINUTE=10**6)
    with (
        limits,
        patch.object(control_flow, "SLICE", 5),
        patch.object(tasks, "TURN", 0.0),
    ):  # so that short runs are cut, too
        expected = played(test_key, steps, call)
        assert played(test_key, steps, lambda row: deliver_badly(row, chance)) == expected
