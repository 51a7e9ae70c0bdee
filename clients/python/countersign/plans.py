"""What a program may want of people, as plans (exchange.py): nothing here knows a socket or an event loop."""

import hashlib
import json
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict
from urllib.parse import quote, urlencode

from countersign.errors import ActionChanged, Unreachable
from countersign.exchange import Call, Pause, Plan, backoff, exchange
from countersign.verdict import Verdict

PATIENCE = 30.0  # seconds in which a call has to succeed
WAITING_PATIENCE = 900.0  # the same of one that waits: a server is restarted, a laptop wakes up
LONGEST_WAIT = 60  # seconds, of one call
CLOCKS_APART = 300.0  # seconds by which the clocks of two computers may differ
MOST_TITLE = 200  # characters


class Fields(TypedDict, total=False):
    """What may be said beside the question itself (docs/api/approvals.md section 13)."""

    message: str
    external_id: str
    source: Mapping[str, Any]
    evidence: Mapping[str, Any]
    end_user: str
    priority: int
    assignee: str
    quorum: Sequence[Mapping[str, Any]]
    four_eyes: bool
    timeout_seconds: int
    on_timeout: Literal["reject", "default_answer", "expire"]
    webhook_url: str
    metadata: Mapping[str, Any]


class About(TypedDict, total=False):
    """What may be said of an action."""

    host: str
    url: str
    risk: Literal["read", "write", "spend", "access", "destroy"]


def action_body(
    name: str, params: Mapping[str, Any], title: str | None, about: About, fields: Fields
) -> dict[str, Any]:
    action = {"name": name, "params": dict(params), **about}
    return {"kind": "tool", "title": (title or f"Run {name}")[:MOST_TITLE], "action": action, **fields}


def question_body(question: str, options: Sequence[str], fields: Fields) -> dict[str, Any]:
    """One question; an option that ends with "(Recommended)" is what on_timeout default_answer takes."""
    asked = {"id": "answer", "question": question, "options": [{"label": option} for option in options]}
    return {"kind": "question", "title": _one_line(question), "questions": [asked], **fields}


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MOST_TITLE else f"{line[: MOST_TITLE - 1]}…"


def short_name(name: str) -> str:
    """An external_id, whatever its length: 1 to 200 characters."""
    return name if len(name) <= MOST_TITLE else hashlib.sha256(name.encode()).hexdigest()


def opened(body: Mapping[str, Any]) -> Plan[dict[str, Any]]:
    """The request, new or, under the external_id of an earlier one, that one. To send it twice opens it once.

    Raises Refused, Unreachable, ActionChanged.
    """
    once = {"Idempotency-Key": uuid.uuid4().hex}
    approval = yield from exchange(Call("POST", "/v1/approvals", body, once), PATIENCE)
    asked, shown = body.get("action"), approval.get("action")
    if asked and (not shown or (shown["name"], shown["params"]) != (asked["name"], _as_json(asked["params"]))):
        raise ActionChanged(f"{approval['id']} shows people another action than was asked for.")
    return approval


def _as_json(params: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(params))


def fetched(approval_id: str) -> Plan[dict[str, Any]]:
    return exchange(Call("GET", f"/v1/approvals/{quote(approval_id, safe='')}"), PATIENCE)


def decided(approval: Mapping[str, Any], seconds: float | None = None) -> Plan[Verdict]:
    """Waits for people; after `seconds` the verdict may be pending. None waits for as long as it takes.

    The action is bound: what was approved is what `approval` shows, or what a person made of it. Raises ActionChanged,
    Refused, Unreachable (the request stays open: wait again with its id).
    """
    latest = dict(approval)
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while True:
            latest = yield from _closed(latest, end)
            if latest["status"] == "pending" or (yield from _is_final(latest)):
                break
            latest = yield from exchange(Call("GET", _path(latest)), WAITING_PATIENCE)
    except Unreachable as error:
        error.approval_id = str(approval["id"])
        raise
    _check_binding(approval, latest)
    return Verdict(latest)


def _path(approval: Mapping[str, Any]) -> str:
    return f"/v1/approvals/{quote(str(approval['id']), safe='')}"


def _closed(approval: dict[str, Any], end: float | None) -> Plan[dict[str, Any]]:
    """The request once it is no longer pending, or at `end`."""
    early = 0
    while approval["status"] == "pending":
        left = LONGEST_WAIT if end is None else end - time.monotonic()
        if left <= 0:
            break
        wait = max(1, int(min(left, random.uniform(0.8, 1) * LONGEST_WAIT)))
        begun = time.monotonic()
        approval = yield from exchange(
            Call("GET", f"{_path(approval)}?wait={wait}", seconds=wait + 15), WAITING_PATIENCE
        )
        # Answered before its time though nothing is decided: the server stops, or somebody else waits with our key.
        early = early + 1 if time.monotonic() - begun < wait / 2 else 0
        if approval["status"] == "pending" and early:
            yield Pause(backoff(early))
    return approval


def _is_final(approval: Mapping[str, Any]) -> Plan[bool]:
    """A decision can be taken back until `undo_until`. By our clock that may be any time: so its whole length is waited."""
    until, at = approval.get("undo_until"), approval.get("resolved_at")
    if not until or not at:
        return True
    ends = datetime.fromisoformat(until)
    if time.time() > ends.timestamp() + CLOCKS_APART:
        return True
    yield Pause((ends - datetime.fromisoformat(at)).total_seconds() + 0.5)
    again = yield from exchange(Call("GET", _path(approval)), WAITING_PATIENCE)
    return all(again.get(name) == approval.get(name) for name in ("status", "resolved_at", "undo_until"))


def _check_binding(asked: Mapping[str, Any], approval: Mapping[str, Any]) -> None:
    if approval["status"] != "approved" or not asked.get("action"):
        return
    edit, shown = approval.get("edited_action"), approval.get("action") or {}
    is_same = (shown.get("name"), shown.get("params")) == (asked["action"]["name"], asked["action"]["params"])
    if not is_same or (edit is None and approval.get("action_hash") != asked.get("action_hash")):
        raise ActionChanged(f"{approval['id']} was approved for another action than was asked for.")
    if edit is not None and edit.get("name") != asked["action"]["name"]:
        raise ActionChanged(f"{approval['id']} was edited into another action.")


def asked(body: Mapping[str, Any], seconds: float | None = None) -> Plan[Verdict]:
    approval = yield from opened(body)
    return (yield from decided(approval, seconds))


def waited(approval_id: str, seconds: float | None = None) -> Plan[Verdict]:
    """Goes on with a request whose id was kept, in another process or after a restart."""
    approval = yield from fetched(approval_id)
    return (yield from decided(approval, seconds))


def cancelled(approval_id: str, reason: str | None = None) -> Plan[dict[str, Any]]:
    body = {"reason": reason} if reason else {}
    return exchange(Call("POST", f"/v1/approvals/{quote(approval_id, safe='')}/cancel", body), PATIENCE)


def reported(approval_id: str, outcome: str, text: str | None = None) -> Plan[dict[str, Any]]:
    """Completes the receipt: `outcome` executed, skipped or failed; `text` up to 4,000 characters."""
    body = {"outcome": outcome} | ({"text": text[:4000]} if text else {})
    return exchange(Call("PUT", f"/v1/approvals/{quote(approval_id, safe='')}/result", body), PATIENCE)


def listed(path: str, filters: Mapping[str, Any]) -> Plan[list[dict[str, Any]]]:
    """One page of a list, at most `limit` of it."""
    query = urlencode({name: value for name, value in filters.items() if value is not None})
    page = yield from exchange(Call("GET", f"/v1/{path}?{query}"), PATIENCE)
    return list(page["data"])


def run_started(body: Mapping[str, Any]) -> Plan[dict[str, Any]]:
    once = {"Idempotency-Key": uuid.uuid4().hex}
    return exchange(Call("POST", "/v1/runs", body, once), PATIENCE)


def run_fetched(run_id: str) -> Plan[dict[str, Any]]:
    return exchange(Call("GET", f"/v1/runs/{quote(run_id, safe='')}"), PATIENCE)


def run_cancelled(run_id: str) -> Plan[dict[str, Any]]:
    return exchange(Call("POST", f"/v1/runs/{quote(run_id, safe='')}/cancel", {}), PATIENCE)
