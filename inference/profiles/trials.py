"""The test of a profile: a picture with five known targets goes through the real wire, and each has to be clicked on.

It takes as long as the model needs, so it runs in a thread of its own (of the web process, or of `manage.py models`) and
writes what happens to the profile's row, where pages read it. A process that ends meanwhile leaves a test that went silent.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.access import installation_team
from accounts.actor import Actor
from accounts.audit.services import audit
from database.ids import new_id
from inference.calls import calling
from inference.calls.services import record_calls
from inference.errors import ModelProblem
from inference.models import Profile
from inference.profiles.services import changing
from inference.profiles.trial_picture import HEIGHT, TARGETS, WIDTH, Target, picture, picture_hash
from inference.records import CallRecord
from inference.specs import Spec, as_spec
from inference.wires import wire_for
from inference.wires.base import Answer, Json, Request, Thought, Wanted, Wire
from web.times import read_time, rfc3339

TARGET_SECONDS = 150.0  # for one target, waiting included
SILENT = timedelta(seconds=TARGET_SECONDS + 30)
MOST_THOUGHTS = 4  # of one target: a model may look first
ACTIONS = frozenset({"click", "move", "type_text", "key_press", "scroll", "wait"})
SYSTEM = (
    "You operate a computer with mouse and keyboard. You see its screen as a picture. "
    "Do one thing only: click once on what you are asked for, in its middle. Nothing else."
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Click:
    """What the model clicked on instead of, or as, `name`; without a click x and y are None and `problem` says why."""

    name: str
    x: int | None = None
    y: int | None = None
    hit: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Trial:
    """Profile.tested. `version`: of the profile as it was tested; `beat`: the last sign of life; `problem`: why it ended early."""

    id: str
    version: int
    by: dict[str, Any]
    at: str
    beat: str
    running: bool = True
    passed: bool = False
    problem: str = ""
    targets: list[dict[str, Any]] = field(default_factory=list)

    @property
    def silent(self) -> bool:
        """Its process ended before it did."""
        beat = read_time(self.beat)
        return self.running and (beat is None or timezone.now() - beat > SILENT)

    @property
    def began(self) -> datetime | None:
        return read_time(self.at)


def trial_of(profile: Profile) -> Trial | None:
    return Trial(**profile.tested) if profile.tested else None


def start(actor: Actor, profile_id: str, *, in_thread: bool = True) -> Profile:
    """Begin a test, unless one of this version is under way. Raises InstallationOwnersOnly, NotFound."""
    with changing(actor, profile_id) as (owner, profile):
        before = trial_of(profile)
        if before and before.running and not before.silent and before.version == profile.version:
            return profile
        now = rfc3339(timezone.now()) or ""
        trial = Trial(new_id("mtr"), profile.version, owner.ref(), now, now)
        _write(profile, trial)
        if in_thread:
            transaction.on_commit(lambda: launch(profile.id, trial.id))
    return profile


def launch(profile_id: str, trial_id: str) -> None:
    threading.Thread(target=_in_thread, args=(profile_id, trial_id), name=f"test-{profile_id}", daemon=True).start()


def _in_thread(profile_id: str, trial_id: str) -> None:
    """Between two writes its connection goes back to the pool: the model may think for minutes."""
    try:
        run(profile_id, trial_id, pause=connection.close)
    finally:
        connection.close()


def run(profile_id: str, trial_id: str, pause: Callable[[], object] = lambda: None) -> None:
    """Do the test that was begun. `pause` is called before each wait for the model."""
    writer = _Writer(profile_id, trial_id)
    try:
        spec = as_spec(Profile.objects.get(id=profile_id))
        wire = wire_for(spec)
        with asyncio.Runner() as runner:
            try:
                _all_targets(runner, spec, wire, writer, pause)
            finally:
                runner.run(_close(wire))
    except ModelProblem as problem:
        writer.end(problem.why)
    except Exception as error:
        log.exception("the test of the model %s failed", profile_id)
        writer.end(f"The test failed in an unforeseen way ({type(error).__name__}).")


def _all_targets(
    runner: asyncio.Runner, spec: Spec, wire: Wire, writer: "_Writer", pause: Callable[[], object]
) -> None:
    """One after the other, as a server with one graphics card would do them anyway."""
    for target in TARGETS:
        records: list[CallRecord] = []
        pause()
        try:
            click = runner.run(_one_target(spec, wire, target, records.append))
        finally:
            writer.records(records)
        if not writer.add(click):
            return  # a newer test has begun
    writer.end()


async def _close(wire: Wire) -> None:
    await wire.close()
    await calling.close()


class _Writer:
    """Writes to the row as long as this test is still the newest of the profile."""

    def __init__(self, profile_id: str, trial_id: str) -> None:
        self.profile_id, self.trial_id = profile_id, trial_id

    def add(self, click: Click) -> bool:
        return self._change(lambda t: replace(t, targets=[*t.targets, asdict(click)]))

    def end(self, problem: str = "") -> bool:
        return self._change(lambda t: _ended(t, problem))

    def records(self, records: list[CallRecord]) -> None:
        team = installation_team()
        if team is not None:
            record_calls(records, team_id=team.id, test=False)

    def _change(self, change: Callable[[Trial], Trial]) -> bool:
        with transaction.atomic():
            profile = Profile.objects.select_for_update().filter(id=self.profile_id).first()
            trial = trial_of(profile) if profile else None
            if profile is None or trial is None or trial.id != self.trial_id or not trial.running:
                return False
            changed = replace(change(trial), beat=rfc3339(timezone.now()) or "")
            _write(profile, changed)
            if not changed.running and (team := installation_team()):
                who = Actor(team.id, False, trial.by["type"], trial.by["id"], trial.by["name"], frozenset())
                audit(
                    who, "model.tested", profile.id, name=profile.name, passed=changed.passed, problem=changed.problem
                )
        return True


def _ended(trial: Trial, problem: str) -> Trial:
    hits = sum(click["hit"] for click in trial.targets)
    if not problem and hits < len(TARGETS):
        problem = f"{hits} of {len(TARGETS)} targets were hit."
    return replace(trial, running=False, passed=not problem, problem=problem)


def _write(profile: Profile, trial: Trial) -> None:
    profile.tested = asdict(trial)
    profile.save(update_fields=["tested"])


Keep = Callable[[CallRecord], None]


async def _one_target(spec: Spec, wire: Wire, target: Target, keep: Keep) -> Click:
    """Raises ModelProblem when the model cannot be asked at all."""
    pictures = {picture_hash(): picture()}
    task = f"Click on {target.words}. One click, nothing else."
    log_items: list[Json] = wire.opening(task, picture_hash())
    until, longer = asyncio.get_running_loop().time() + TARGET_SECONDS, False
    for _ in range(MOST_THOUGHTS):
        request = Request(
            SYSTEM,
            log_items,
            wire.view(WIDTH, HEIGHT),
            actions=ACTIONS,
            key=f"test-{target.name}",
            picture=pictures.__getitem__,
            longer=longer,
        )
        left = max(1.0, until - asyncio.get_running_loop().time())
        thought = await _ask(spec, request, left, keep)
        click = _click_in(thought, target)
        if click is not None:
            return click
        longer = thought.end == "cut"  # then there are no items, and the same is asked again
        log_items = [*log_items, *thought.items, *_replies(wire, thought)]
    return Click(target.name, problem=f"It did not click within {MOST_THOUGHTS} answers.")


async def _ask(spec: Spec, request: Request, seconds: float, keep: Keep) -> Thought:
    try:
        thought, record = await calling.patiently(spec, request, "test", seconds, keep)
    except ModelProblem as problem:
        if problem.record:
            keep(problem.record)
        raise
    keep(record)
    return thought


def _click_in(thought: Thought, target: Target) -> Click | None:
    """None: it has not decided yet, and may be asked again."""
    if thought.end == "said":
        return Click(target.name, problem=f"It answered in words instead of a click: “{thought.text[:200]}”")
    if thought.end == "full":
        return Click(target.name, problem="The conversation is too long for it.")
    first = next((wanted for wanted in thought.wanted if wanted.kind == "act" and wanted.name == "click"), None)
    if thought.end != "calls" or first is None:
        return None
    x, y = first.params.get("x"), first.params.get("y")
    if not isinstance(x, int) or not isinstance(y, int):
        return Click(target.name, problem="Its click has no place.")
    return Click(target.name, x, y, target.hit(x, y), "" if target.hit(x, y) else "It clicked elsewhere.")


def _replies(wire: Wire, thought: Thought) -> list[Json]:
    """Answers to what was no click; a paused answer is only sent back."""
    return [] if not thought.wanted else wire.results([_reply(wanted) for wanted in thought.wanted], picture_hash())


def _reply(wanted: Wanted) -> Answer:
    if wanted.kind == "look":
        return Answer(wanted, True, "This is the whole screen.", picture_hash())
    return Answer(wanted, False, wanted.problem or "Only click on what you were asked for.")
