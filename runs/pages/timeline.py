"""A run as its page shows it: rows of steps and bands of requests in order, and the picture of one moment."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import QuerySet, Sum
from django.urls import reverse
from django.utils import timezone

from accounts.pages import whole_number
from approvals.cards.pictures import mark
from approvals.models import Approval, Decision
from machines.actions.risks import COMMAND
from machines.models import TakeoverLease
from machines.takeover.control_leases import actions_of
from runs.access import screen_text
from runs.agents.action_summary import action_title, it, target_of
from runs.agents.registry import has_model
from runs.control import MOST_ACTIONS, hand_words
from runs.models import Run, RunEvent, Screenshot, Step
from runs.pages.model_activity import Story, Thinking, evidence_of, story_since, thinking_at, totals_of
from runs.secrets.handles import HANDLE, name_in
from web.templatetags.show import plain

SHOWN = 200  # newest rows; the rest on demand
_DONE = {
    "click": "Clicked at {x}, {y}", "type_text": "Typed {typed}", "key_press": "Pressed {key}",
    "key_combo": "Pressed {keys}", "scroll": "Scrolled {direction}",
    "drag": "Dragged to {to_x}, {to_y}", "move": "Moved to {x}, {y}",
    "wait": "Waited {seconds} s", "screenshot": "Took a picture", "open_url": "Opened {url}",
    "fill": "Filled in {typed}", "select_option": "Chose “{option}”", "run_command": "Ran {command}", "run_line": "Ran {command}",
    "upload": "Uploaded {file}", "go_back": "Went back", "reload": "Loaded the page again",
}  # fmt: skip
_DONE_AT = {
    "click": "Clicked {it}", "type_text": "Typed {typed} into {it}", "fill": "Filled {it} with {typed}",
    "select_option": "Chose “{option}” in {it}",
}  # fmt: skip
_CLICKS = {
    ("left", 2): "Double-clicked",
    ("left", 3): "Triple-clicked",
    ("right", 1): "Right-clicked",
    ("middle", 1): "Middle-clicked",
}


@dataclass(frozen=True)
class StepRow:
    """Thought, action and result of one step. `state`: done, failed, skipped, acting, interrupted or dropped.

    `note`: what the machine said of it besides. `thinking`: what led to it, of a run with a model.
    """

    step: Step
    words: str
    thought: str
    state: str
    seconds: float | None
    note: str = ""
    thinking: Thinking | None = None
    kind: str = "step"

    @property
    def at(self) -> datetime:
        return self.step.started_at


@dataclass(frozen=True)
class BandRow:
    """A request to people with its decider; `waited` is how long the run stood still for it, in seconds."""

    approval: Approval
    decision: Decision | None
    waited: float
    thinking: Thinking | None = None
    kind: str = "band"

    @property
    def at(self) -> datetime:
        return self.approval.created_at


@dataclass(frozen=True)
class HandsRow:
    """What a person did by hand while in control, as it happens: nothing of a private takeover but who and how long."""

    lease: TakeoverLease
    actions: list[dict[str, Any]]  # words, at
    more: int  # actions before those
    seconds: float
    kind: str = "hands"

    @property
    def at(self) -> datetime:
        return self.lease.taken_at


Row = StepRow | BandRow | HandsRow


def action_words(action: dict[str, Any]) -> str:
    """An action that was done, in words: `Clicked at 612, 448`. Values in it come from the agent."""
    name, params = str(action.get("name")), dict(action.get("params") or {})
    params |= {k: v.replace("\n", "⏎") for k, v in params.items() if isinstance(v, str)}
    facts = params | {"keys": "+".join(params.get("keys") or ()), "seconds": params.get("ms", 0) / 1000}
    if "text" in params:
        facts["typed"] = _what_was_typed(str(params["text"]))
    target = target_of(action.get("target"))
    named = _DONE_AT.get(name) if target and target.role != COMMAND else None
    try:
        words = (named or _DONE.get(name, name.replace("_", " ").capitalize())).format_map(
            facts | {"it": target and it(target)}
        )
    except (KeyError, ValueError):
        return name
    click = _CLICKS.get((params.get("button", "left"), params.get("count", 1)))
    return words.replace("Clicked", click) if name == "click" and click else words


def _what_was_typed(text: str) -> str:
    handle = HANDLE.fullmatch(text)
    return f'the secret "{name_in(handle)}"' if handle else f"“{text}”"


def step_words(step: Step) -> str:
    """The step's action in words: as done only where it was; what was skipped, failed or cut off is `Click at 612, 448`."""
    if _state(step) == "done" or (_state(step) == "failed" and step.exit_code is not None):
        return action_words(step.action)
    action = step.action
    name, params = str(action.get("name")), dict(action.get("params") or {})
    try:
        return action_title(name, params, None, None, target_of(action.get("target")))
    except (KeyError, ValueError, TypeError, AttributeError):  # parameters that an agent left out or mistook
        return name


def _state(step: Step) -> str:
    if step.status != "completed":
        return step.status
    if step.skipped:
        return "skipped"
    return "done" if step.success else "failed"


def rows_of(run: Run, steps: list[Step], approvals: list[Approval]) -> list[Row]:
    """Steps and requests in the order in which they happened."""
    decisions = {d.approval_id: d for d in Decision.objects.filter(approval__in=approvals, counts=True)}
    now = timezone.now()
    notes = _notes(run)
    rows: list[Row] = [_step_row(s, notes.get(s.call_id, "")) for s in steps]
    rows += [
        BandRow(a, decisions.get(a.id), ((a.resolved_at or run.finished_at or now) - a.created_at).total_seconds())
        for a in approvals
    ]
    rows += [_hands(lease, now) for lease in TakeoverLease.objects.filter(run_id=run.id).select_related("machine")]
    return sorted(rows, key=lambda row: row.at)


def with_thoughts(rows: list[Row], story: Story) -> list[Row]:
    """Each step and each request of the agent with what the model thought since the row before; the rest stays in the story."""
    return [_thought_of(row, story) for row in rows]


def _thought_of(row: Row, story: Story) -> Row:
    if isinstance(row, StepRow):
        return replace(row, thinking=story.before(row.at).without(row.thought))
    if isinstance(row, BandRow) and not row.approval.traits.lifts_budget:
        return replace(row, thinking=story.before(row.at).without(row.approval.words or row.approval.message))
    return row


def model_facts(run: Run, rows: list[Row], steps: list[Step], chosen: "Moment") -> dict[str, Any]:
    """What the page of a run with a model shows besides; nothing of another one. `steps`: those shown, the newest first."""
    if not has_model(run):
        return {"rows": rows}
    story = story_since(run, steps[-1] if steps else None)
    rows = with_thoughts(rows, story)
    present = story.before(None)
    if run.status == "cancelled":
        present.words = []  # what is said last is who cancelled it
    return {
        "rows": rows,
        "present": present,
        "verifying": story.verifying(),
        "model": totals_of(run),
        "evidence": evidence_of(run) if run.is_terminal and run.cua_version == "v4" else [],
        "thinking": thinking_at(run, chosen.step) if chosen.step else None,
    }


def _step_row(step: Step, note: str) -> StepRow:
    seconds = (step.finished_at - step.started_at).total_seconds() if step.finished_at else None
    return StepRow(step, step_words(step), step.text, _state(step), seconds, note)


def _notes(run: Run, **which: Any) -> dict[str, str]:
    """What machines said of steps besides their results, by the step's call_id."""
    results = RunEvent.objects.filter(run=run, type="tool_result", data__has_key="note", **which)
    return {data["call_id"]: data["note"] for data in results.values_list("data", flat=True)}


def _hands(lease: TakeoverLease, now: datetime) -> HandsRow:
    done = [] if lease.private else actions_of(lease)
    shown = [{"words": hand_words(step), "at": step["at"]} for step in done[-MOST_ACTIONS:]]
    return HandsRow(lease, shown, len(done) - len(shown), ((lease.ended_at or now) - lease.taken_at).total_seconds())


@dataclass(frozen=True)
class Moment:
    """What the middle of the page shows. `chosen` is the step from the address, None = the newest, or the one that a failed
    run failed at: `opened`. `text` is the picture of a terminal as lines, `note` what the machine said of the step besides.
    """

    chosen: int | None
    opened: int | None
    step: Step | None
    shot: dict[str, Any] | None
    phase: str
    phases: list[str]
    previous: int | None
    following: int | None
    spent: int  # cents, up to and with this step
    text: str | None
    note: str


def moment(run: Run, step_asked: str, phase: str) -> Moment:
    """The picture of the wanted step, else the newest one, with the ring where the step's action landed."""
    number = whole_number(step_asked, 9) or 0
    chosen = number if 0 < number <= run.steps_completed + 1 else None
    steps = Step.objects.filter(run=run).order_by("-index", "-started_at")
    opened = None if chosen else _failed_at(run, steps)
    here = chosen or opened
    step = (steps.filter(index=here) if here else steps).first()
    shots = Screenshot.objects.filter(run=run).order_by("-index")
    mine = {s.phase: s for s in shots.filter(step=step.index)} if step else {}
    shown = mine.get(phase) or mine.get("after") or mine.get("before") or (None if here else shots.first())
    here = step.index if step else 0
    return Moment(
        chosen=chosen,
        opened=opened,
        step=step,
        phase=shown.phase if shown else "",
        phases=[p for p in ("before", "after") if p in mine],
        shot=_shot(run, shown, step) if shown else None,
        previous=here - 1 if here > 1 else None,
        following=here + 1 if (chosen or opened) and here < run.steps_completed else None,
        spent=steps.filter(index__lte=here).aggregate(cents=Sum("cost_cents"))["cents"] or 0,
        text=screen_text(run.id, shown.index) if shown else None,
        note=_notes(run, data__call_id=step.call_id).get(step.call_id, "") if step else "",
    )


def _failed_at(run: Run, steps: QuerySet[Step]) -> int | None:
    """The last step that failed, of a run that failed."""
    if run.status not in ("failed", "timed_out"):
        return None
    return steps.filter(status="completed", success=False, skipped=False).values_list("index", flat=True).first()


def _shot(run: Run, shown: Screenshot, step: Step | None) -> dict[str, Any]:
    words = step_words(step) if step else "before the first step"
    return {
        "url": reverse("run-picture", args=[run.id, shown.index]),
        "width": shown.width,
        "height": shown.height,
        "at": shown.taken_at,
        "mark": mark(step.action, shown.width) if step else None,
        "alt": plain(f"Screen {shown.phase} step {shown.step}: {words}"),
    }
