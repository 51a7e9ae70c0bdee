"""Requests that are alike, decided together: what they share, and a table of what differs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from accounts.actor import Actor
from approvals.access import DUE, approvals_of, by_due
from approvals.models import Approval
from web.templatetags.show import money

MOST = 100
# Where a terminal is when something is to be typed; what stands there follows.
AT_PROMPT = {
    "continuation": "Half a command, of which the rest is awaited: ",
    "program": "A program has the terminal: what is typed goes to it.",
    "unknown": "What stands there cannot be read now.",
}
UNDO = {"irreversible": "hard to undo", "reversible": "can be undone"}


@dataclass(frozen=True)
class Batch:
    """Requests of one kind, about one action on one host, of agents or of one program."""

    rows: list[Approval]
    same: list[tuple[str, Any]]
    names: list[str]
    table: list[tuple[Approval, list[Any]]]

    @property
    def may_approve(self) -> bool:
        return not self.rows[0].traits.takes_data


def chosen(actor: Actor, ids: Sequence[str], *, late: bool = False) -> list[Approval]:
    """The open requests among `ids`, at most MOST, soonest first; others are passed over, unless `late` those whose time is
    over too."""
    now = timezone.now()
    open_ones = approvals_of(actor).filter(id__in=list(ids)[:MOST], status="pending")
    rows = by_due(open_ones.select_related("external_request"))
    return [row for row in rows.order_by(*DUE) if late or not row.is_late(now)]


def batches(rows: Sequence[Approval]) -> list[Batch]:
    alike: dict[tuple[str, ...], list[Approval]] = {}
    for row in rows:
        action = row.action or {}
        asker = row.subject_title if row.of_program else ""
        alike.setdefault((row.kind, action.get("name") or "", action.get("host") or "", asker), []).append(row)
    return [_batch(group) for group in alike.values()]


def _batch(rows: list[Approval]) -> Batch:
    facts = [facts_of(row) for row in rows]
    names = list(dict.fromkeys(name for each in facts for name in each))
    same = [name for name in names if all(each.get(name) == facts[0].get(name) for each in facts)]
    differing = [name for name in names if name not in same]
    table = [(row, [each.get(name, "") for name in differing]) for row, each in zip(rows, facts, strict=True)]
    return Batch(rows, [(name, facts[0][name]) for name in same], differing, table)


def facts_of(row: Approval) -> dict[str, Any]:
    """Everything of a request that could differ, in words. Values of actions are complete, never shortened."""
    x, action = row.context, row.action_now or {}
    facts: dict[str, Any] = {"Asked by": row.subject_title} if row.of_program else {"Task": x.get("task") or row.run_id}
    if not row.traits.runs_action:
        facts["Asks"] = row.agent_message or row.message
    if row.plan:
        facts["Plan"] = row.plan.get("text", "")
    if row.budget:
        facts["Limit"] = money(row.budget.get("limit_cents"))
    facts |= action.get("params") or {}
    if row.traits.runs_action and row.words:
        facts[row.speaker.words] = row.words
    facts |= _warnings(row.evidence) | _sent_along(row)
    facts |= {
        "Risk": action.get("risk") or "",
        "Undo": UNDO.get(str(action.get("class")), ""),
        "Machine": x.get("machine_name") or "",
        "End user": x.get("end_user") or "",
    }
    if not row.of_program:
        facts |= {"Started by": (x.get("started_by") or {}).get("name", ""), "Spent": money(x.get("cost_cents"))}
    return {name: value for name, value in facts.items() if value not in ("", None)}


def _sent_along(row: Approval) -> dict[str, Any]:
    """What a program said besides the action and its words."""
    if row.external_request is None:
        return {}
    sent = row.evidence.get("pictures") or []
    links = (f"{link['label']}: {link['url']}" for link in row.evidence.get("links") or ())
    return {
        "Address": (row.action or {}).get("url") or "",
        "Pictures": f"{len(sent)}, on the page of the request" if sent else "",
        "Links": "\n".join(links),
        "Reference": row.external_request.source.get("ref") or "",
        "Details": row.external_request.metadata or "",
    }


def _warnings(evidence: dict[str, Any]) -> dict[str, str]:
    """What the card warns of: what the model's vendor says, and what is at the prompt already."""
    warnings = {}
    if checks := evidence.get("checks"):
        warnings["The model’s vendor doubts"] = " ".join(check["message"] or check["code"] for check in checks)
    at, line = evidence.get("prompt_at"), evidence.get("prompt_line") or ""
    if at and (at != "prompt" or line):
        warnings["At the prompt"] = AT_PROMPT.get(at, "") + line
    return warnings
