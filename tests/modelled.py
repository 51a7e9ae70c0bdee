"""A run as a model leaves it, made by hand through the services that write it: for pages, which need no model."""

import io
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from PIL import Image

from accounts.models import Team
from accounts.team.rules_version import rules_now
from inference.calls.services import record_calls
from inference.errors import ModelBusy, ModelMisconfigured
from inference.models import Profile
from inference.records import CallRecord, Purpose, Status, Usage
from machines import pictures
from machines.drivers.base import Action, Frame
from runs.agents.action_summary import Call, kept_action
from runs.agents.base import Act, Ask, Finish, Look, Verdict
from runs.driving import jobs, model_jobs
from runs.driving.jobs import Job
from runs.driving.looks import keep_looks
from runs.driving.steps import Intent, Judged, Outcome, Picture, write_intent, write_outcome
from runs.log import Event, begin, record
from runs.models import Run
from runs.requests import services
from runs.services import lock_run, move

PROFILE, MODEL = "claude", "claude-test-1"


def picture(colour: str, width: int = 1280, height: int = 800) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def call(
    purpose: Purpose = "act", status: Status = "ok", *, input: int | None = 1000, cached: int | None = None,  # noqa: A002
    output: int | None = 100, reasoning: int | None = None, microcents: int | None = 1_230_000, seconds: float = 2.0,
    why: str | None = None,
) -> CallRecord:  # fmt: skip
    end = timezone.now()
    usage = Usage(input, cached, None, output, reasoning)
    return CallRecord(
        PROFILE, "anthropic", MODEL, purpose, status, end - timedelta(seconds=seconds), end, usage=usage,
        cost_microcents=microcents, why=why,
    )  # fmt: skip


class ModelRun:
    """One run at work, driven by nobody but the test: its lease is held."""

    def __init__(self, team: Team, created_by: dict[str, Any], task: str = "Find the price", **fields: Any) -> None:
        who = {"type": "api_key", "id": "key_by_hand", "name": "By hand"}
        model = {"wire": "anthropic", "model": MODEL, "created_by": who}
        Profile.objects.get_or_create(name=PROFILE, defaults=model)
        usual: dict[str, Any] = {"agent": PROFILE, "cua_version": "v4", "test": True, "owns_machine": True}
        run = Run(team=team, task=task, created_by=created_by, request_id="req_hand", **usual | fields)
        run.root_id, run.machine_id = run.id, f"mch_of_{run.id}"
        with transaction.atomic():  # as a whole, or a worker takes it
            begin(run, ("status", {"status": "queued"}))
            run = lock_run(run.id)
            now = timezone.now()
            lease = {"lease_owner": "by-hand", "lease_until": now + timedelta(days=1), "lease_epoch": 1}
            move(run, "running", started_at=now, **lease)
        self.run = run

    @classmethod
    def known(cls, run_id: str) -> "ModelRun":
        """One that was made before, perhaps by another process."""
        known = cls.__new__(cls)
        known.run = Run.objects.get(id=run_id)
        return known

    @classmethod
    def of_first_team(cls, **fields: Any) -> "ModelRun":
        return cls(
            Team.objects.order_by("created_at")[0], {"type": "api_key", "id": "key_1", "name": "By hand"}, **fields
        )

    def thought(
        self, reasoning: str = "", *calls: CallRecord, text: str = "", looks: tuple[Look, ...] = (), step: int | None = None
    ) -> None:  # fmt: skip
        """What the drive loop commits of a thought before anything is done with it."""
        events: list[Event] = [("reasoning", {"text": reasoning})] if reasoning else []
        events += [("text", {"text": text})] if text else []
        with transaction.atomic():
            self.run = lock_run(self.run.id)
            index = step or self.run.steps_completed + 1
            record_calls(calls, team_id=self.run.team_id, test=self.run.test, run_id=self.run.id, step_index=index)
            keep_looks(self.run, looks)
            record(self.run, *events)

    def look(self, colour: str, region: tuple[int, int, int, int] | None = None) -> Look:
        return Look(pictures.store(picture(colour)), 1280, 800, region)

    def act(self, name: str = "click", text: str = "", *, success: bool = True, **params: Any) -> None:
        """One step with its pictures."""
        self.run = Run.objects.get(id=self.run.id)
        run, index = self.run, self.run.steps_completed + 1
        action = Action(name, params or {"x": 100, "y": 200, "button": "left", "count": 1})
        done = Call(Act(action), f"call_{run.id}_{index}", None, False, None, False, run.machine_kind)
        before, after = (self._picture(n, phase) for n, phase in enumerate(("before", "after"), run.next_screenshot))
        write_intent(
            Intent(
                run.id, 1, index, done.id, kept_action(done.act), None, text, (before.event(index), done.event(index)), (before,),
                before.index + 1, timezone.now(),
            ),
            Judged(rules_now(run.team_id, run.test, run.permission_mode).version, run.permission_mode, False),
        )  # fmt: skip
        told = {
            "step": index,
            "call_id": done.id,
            "success": success,
            "skipped": False,
            "error": None,
            "approval_id": None,
        }
        write_outcome(
            Outcome(
                run.id, 1, index, done.id, success, None, False, 5, {}, {"success": success, "error": None, "data": {}},
                (("tool_result", told), after.event(index), ("step", {"steps_completed": index})), (after,), after.index + 1,
                timezone.now(),
            )
        )  # fmt: skip

    def _picture(self, index: int, phase: str) -> Picture:
        png = picture("#2a6" if phase == "after" else "#26a")
        return Picture(index, phase, pictures.store(png), Frame(png, 1280, 800))

    def ask(self, message: str, kind: str = "approval") -> None:
        with transaction.atomic():
            self.run = lock_run(self.run.id)
            services.open_for_ask(self.run, Ask(kind, message), None)

    def stuck(self, why: str) -> None:
        """The model cannot be used before somebody did something."""
        model_jobs.ask_about_model(Job(Run.objects.get(id=self.run.id), 1), ModelMisconfigured(why))

    def busy(self, why: str, seconds: float = 40) -> None:
        model_jobs.busy(Job(Run.objects.get(id=self.run.id), 1), ModelBusy(why, seconds))

    def end(self, verdict: Verdict | None = None, summary: str = "The price is 42.", output: Any = None) -> None:
        job = Job(Run.objects.get(id=self.run.id), 1)
        jobs.end(job, Finish(True, summary, output=output), verdict, ())
        self.run = Run.objects.get(id=self.run.id)
