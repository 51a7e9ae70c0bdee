"""What a program asked before and what it asks in place of that, side by side."""

from typing import Any

from approvals.cards.batches import facts_of
from approvals.models import Approval


def replaced(previous: Approval | None, approval: Approval) -> dict[str, Any] | None:
    """What differs, as {name, before, now}, and the names of what is the same. None for requests of runs, which say themselves
    what has changed."""
    if previous is None or not approval.of_program:
        return None
    before, now = _facts(previous), _facts(approval)
    names = dict.fromkeys((*now, *before))
    rows = [{"name": name, "before": before.get(name, ""), "now": now.get(name, "")} for name in names]
    return {
        "rows": [row for row in rows if row["before"] != row["now"]],
        "same": [row["name"] for row in rows if row["before"] == row["now"]],
    }


def _facts(row: Approval) -> dict[str, Any]:
    action = row.action or {}
    facts = {"Title": row.title, "Action": action.get("name"), "Host": action.get("host")} | facts_of(row)
    facts |= {"Questions": _questions(row), "Data": row.input_schema}
    sent = row.evidence.get("pictures") or []
    if sent:
        facts["Pictures"] = "\n".join(f"{each['width']} × {each['height']}, {each['sha256'][:12]}" for each in sent)
    return {name: value for name, value in facts.items() if value not in ("", None)}


def _questions(row: Approval) -> str:
    return "\n".join(str(question["question"]) for question in row.questions)
