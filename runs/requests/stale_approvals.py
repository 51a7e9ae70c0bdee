"""An approval is bound to what was shown: when that is no longer what would happen, it is void and people are asked again
(docs/api/approvals.md section 10). Callers hold the run's lock.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from accounts.actor import system
from accounts.models import Team
from approvals import services as approvals
from approvals.access import locked_approval
from approvals.deciders.eligibility import satisfies
from approvals.models import Approval, Decision
from approvals.policies.rules import Ruling
from inference.wires.base import Check
from machines import pictures
from machines.drivers.base import Action, Prompt
from runs.agents import action_summary
from runs.agents.base import Act
from runs.log import record
from runs.models import Run
from runs.requests import services
from runs.requests.action_contents import KeptContents, differences, in_words
from web.times import rfc3339

NOT_STARTED = "execution_not_started"
MOST_STARTS = 3  # how often people are asked again for an action that cannot start
_WORDS = {
    "action_changed": "The agent now wants another action than the one that was approved.",
    "screen_changed": "The screen is no longer the one on which the action was approved.",
    NOT_STARTED: "The action was approved, but the machine could not be reached.",
}


@dataclass(frozen=True)
class Voided:
    """An approval that no longer fits what would happen, and why: action_changed or screen_changed; `words` say it."""

    approval_id: str
    reason: str
    words: str = ""


def same_target(shown: dict[str, str] | None, act: Act) -> bool:
    """Whether the action still reaches what the approver was shown.

    Counts and clocks in a name may go on. Where the action is more than a write only clocks may: "Pay 10" is not "Pay 99",
    and the form that it sends counts as well.
    """
    if shown is None:
        return True
    now = action_summary.target_object(act.target).get("target")
    if now is None or shown["role"] != now["role"]:
        return False
    if action_summary.risk_of(act) == "write" and action_summary.class_of_act("", act) != "irreversible":
        return _steady(_DIGITS, shown["name"]) == _steady(_DIGITS, now["name"])
    return all(_steady(_CLOCKS, shown[key]) == _steady(_CLOCKS, now[key]) for key in ("name", "kind", "form"))


def same_checks(shown: list[dict[str, str]], act: Act) -> bool:
    """Whether the approver was shown every safety check of the action."""
    return all(check in shown for check in action_summary.checks_object(act))


def beyond_approval(approval_id: str, ruling: Ruling) -> Voided | None:
    """As somebody edited it the action falls under a rule that wants more than the approval was: other people, more of them."""
    if ruling.verdict != "ask" or not ruling.by_rule:
        return None
    if satisfies(Approval.objects.get(id=approval_id), ruling.quorum, four_eyes=ruling.four_eyes):
        return None
    return Voided(approval_id, "action_changed", "As it was edited, the action needs the approval of others.")


_DIGITS = re.compile(r"\d")
_CLOCKS = re.compile(r"\b\d{1,3}(:\d\d){1,2}\b|\b\d+ ?(s|secs?|seconds?|mins?|minutes?)\b", re.IGNORECASE)


def _steady(moving: re.Pattern[str], text: str) -> str:
    return " ".join(moving.sub("", text).split())


def screen_limit(team_id: str) -> float | None:
    """The share of cells that may change between approval and action; None where the team does not look."""
    team = Team.objects.only("screen_check", "screen_check_threshold").get(id=team_id)
    return team.screen_check_threshold if team.screen_check else None


def screen_changed(approval_id: str, now: bytes, host: str | None, limit: float) -> bool:
    """Whether host or screen are others than those that the approver saw."""
    approval = Approval.objects.only("action", "context").get(id=approval_id)
    if (approval.action or {}).get("host") != host:
        return True
    shown = approval.context.get("picture")
    return shown is not None and pictures.changed_share(pictures.read(shown), now) > limit


# Whatever is typed at a terminal may become part of what stands there, and Enter runs the whole of it.
AT_PROMPT = frozenset({"run_line", "type_text", "key_press", "key_combo"})
_EMPTY = Prompt("prompt", "")


def goes_to_prompt(run: Run, act: Act) -> bool:
    return run.machine_kind == "terminal" and act.action.name in AT_PROMPT


def prompt_shown(approval_id: str) -> Prompt:
    """What stood at the terminal's prompt when people were asked; of a request that does not tell, nothing."""
    evidence = Approval.objects.values_list("evidence", flat=True).get(id=approval_id)
    return Prompt(evidence["prompt_at"], evidence["prompt_line"]) if evidence.get("prompt_at") else _EMPTY


def prompt_changed(approval_id: str, act: Act, shown: Prompt, now: Prompt | None) -> Voided | None:
    """Something else stands there than what was shown. A line of its own may find the program ended that had the
    terminal: it never becomes part of anything."""
    freed = act.action.name == "run_line" and shown.at == "program" and now == _EMPTY
    if now == shown or freed:
        return None
    words = "Something else stands at the terminal's prompt than when the action was approved."
    return Voided(approval_id, "action_changed", words)


def contents_changed(approval_id: str, now: KeptContents | None, edited: bool) -> Voided | None:
    """What the action works with is not what the approver was shown. Of what nobody looked at then nothing is said; one that
    a person edited may work with something else."""
    before = Approval.objects.values_list("context", flat=True).get(id=approval_id).get("contents") or []
    changes = differences(before, now.items if now else [], of_both=edited)
    return Voided(approval_id, "action_changed", in_words(changes)) if changes else None


def ask_again(
    run: Run,
    voided: Voided,
    act: Act,
    call_id: str,
    ruling: Ruling,
    text: str,
    url: str | None,
    prompt: Prompt | None,
    contents: KeptContents | None,
) -> None:
    """The approval is used up; a new request with both pictures takes its place."""
    old = locked_approval(voided.approval_id)
    why = f"{voided.words or _WORDS[voided.reason]} {ruling.why}".strip()
    opened = services.open_for_act(
        run, act, call_id, replace(ruling, why=why), text, url, previous=old, prompt=prompt, contents=contents
    )
    _void(run, old, voided.reason, opened)


def start_again(run: Run, approval_id: str, problem: str) -> bool:
    """The machine is gone before the approved action began: ask again. False when that was done often enough."""
    old = locked_approval(approval_id)
    before = Approval.objects.filter(run_id=run.id, step_index=old.step_index, void_reason=NOT_STARTED).count()
    if before >= MOST_STARTS or old.action is None:
        Decision.objects.filter(approval=old, counts=True).update(outcome="not_executed", error=problem)
        return False
    action = old.action
    target = action_summary.target_of(action.get("target"))
    checks = tuple(Check(**check) for check in old.evidence.get("checks", ()))
    act = Act(Action(action["name"], action["params"]), action["risk"], action["host"], target, checks=checks)
    why = f"{_WORDS[NOT_STARTED]} {problem}"
    ruling = Ruling("ask", why, None, old.can_remember, old.quorum, old.four_eyes, old.by_rule)
    url = old.evidence.get("url")
    opened = services.open_for_act(run, act, action["call_id"], ruling, old.agent_message or "", url, previous=old)
    _void(run, old, NOT_STARTED, opened)
    return True


def _void(run: Run, old: Approval, reason: str, opened: Approval) -> None:
    approvals.void(old, reason, opened.id)
    run.inbox = [used_up(m) for m in run.inbox]
    by = system(run.team_id, run.test).ref()
    change = {"approval_id": old.id, "change": "void", "by": by, "at": rfc3339(old.resolved_at)}
    record(run, ("approval", change), save=("inbox",))


def used_up(message: dict[str, Any]) -> dict[str, Any]:
    """An approval is used for one execution, also when nobody knows how that one went: the person is asked again."""
    return message | {"used": True} if message["kind"] == "tool" and message["verdict"] == "approve" else message
