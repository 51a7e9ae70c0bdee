"""A workflow run played without a database: effects are kept, child runs and requests end as the test says.

Every trigger is delivered twice, and every state goes through JSON, as it would through the database.
"""

import json
from collections.abc import Callable
from typing import Any

from tests.workflows.documents import whole
from workflows.definition.documents import check_document
from workflows.interpreter.advance import advance
from workflows.interpreter.effects import CancelTasks, Effect, Finish, GoOn, OpenRequest, StartTask, Write
from workflows.interpreter.state import State
from workflows.interpreter.triggers import RequestDecided, Resumed, Started, TaskEnded, Trigger

AT = "2026-03-26T14:35:01.000Z"
ANA = {"type": "user", "id": "usr_ana", "name": "Ana"}


class Play:
    def __init__(self, steps: list[Any], *, output: Any = None, begin: bool = True, **start: Any) -> None:
        body = whole(steps, **({} if output is None else {"output": output}))
        assert check_document(body, "create").violations == []
        self.definition = body["definition"]
        self.state: State = {}
        self.told: list[Trigger] = []
        self.effects: list[Effect] = []
        self.tasks: dict[int, StartTask] = {}
        self.requests: dict[int, OpenRequest] = {}
        self.finish: Finish | None = None
        if begin:
            self.tell(Started(start.pop("inputs", {}), **start))

    # --- telling

    def tell(self, trigger: Trigger) -> list[Effect]:
        """Apply it, and go on through all slices."""
        effects = self.tell_once(trigger)
        while effects and isinstance(effects[-1], GoOn):
            effects += self.tell_once(Resumed(effects.pop().slice))  # type: ignore[union-attr]
        return effects

    def tell_once(self, trigger: Trigger) -> list[Effect]:
        before = json.dumps(self.state)
        state, effects = advance(self.definition, self.state, trigger)
        assert json.dumps(self.state) == before
        self.state = json.loads(json.dumps(state))
        assert self.state == state
        assert advance(self.definition, self.state, trigger) == (self.state, [])
        assert self.finish is None or not effects
        self.told.append(trigger)
        for effect in effects:
            self._apply(effect)
        waits = [branch["wait"]["ticket"] for branch in self.state.get("branches", ()) if branch["wait"]]
        assert sorted(waits) == sorted([*self.tasks, *self.requests])
        return effects

    def _apply(self, effect: Effect) -> None:
        assert self.finish is None
        self.effects.append(effect)
        match effect:
            case StartTask():
                self.tasks[effect.ticket] = effect
            case OpenRequest() if not effect.closed:
                self.requests[effect.ticket] = effect
            case CancelTasks():
                for ticket in effect.tickets:
                    del self.tasks[ticket]
            case Finish():
                self.finish = effect
                self.tasks.clear()
                self.requests.clear()

    def end(self, step_id: str | None = None, passed: bool = True, **facts: Any) -> list[Effect]:
        """End the oldest child run (of that step)."""
        started = next(t for t in self.tasks.values() if step_id in (None, t.step_id))
        del self.tasks[started.ticket]
        given = {
            "run_id": f"run_{started.ticket}",
            "status": "succeeded" if passed else "failed",
            "passed": passed,
        } | facts
        return self.tell(TaskEnded(started.ticket, **given))

    def decide(self, verdict: str = "approve", note: str | None = None, **more: Any) -> list[Effect]:
        """Decide the oldest request."""
        ticket = min(self.requests)
        del self.requests[ticket]
        return self.tell(RequestDecided(ticket, verdict, note, ANA, AT, **more))

    def through(self, passes: Callable[[StartTask], bool] = lambda started: True, most: int = 1000) -> "Play":
        """End child runs, the oldest first, until none is left."""
        for _ in range(most):
            if not self.tasks:
                return self
            self.end(passed=passes(next(iter(self.tasks.values()))))
        raise AssertionError("it goes on and on")

    # --- looking

    @property
    def ran(self) -> list[str]:
        """Texts of the tasks started so far."""
        return [e.task for e in self.effects if isinstance(e, StartTask)]

    @property
    def steps(self) -> list[dict[str, Any]]:
        return [e.data for e in self.effects if isinstance(e, Write) and e.name == "step"]

    @property
    def texts(self) -> list[str]:
        return [e.data["text"] for e in self.effects if isinstance(e, Write) and e.name == "text"]

    @property
    def asked(self) -> list[tuple[str, str]]:
        """(step, message) of what people are asked now."""
        return [(e.step_id, e.message) for e in self.requests.values()]

    @property
    def ending(self) -> Finish:
        assert self.finish is not None, self.state
        return self.finish

    @property
    def error(self) -> tuple[str, str, str]:
        """(code, reason_code, message) of a run that failed."""
        error = self.ending.error
        assert error is not None
        assert error.keys() == {"code", "reason_code", "message", "details"}
        return error["code"], error["reason_code"], error["message"]
