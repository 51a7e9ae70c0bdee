"""What the rows of a part of the audit speak of, looked up together: requests, people, groups, machines, webhooks, policies."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from accounts.actor import Actor
from accounts.models import AuditEntry, Group, TeamSecret, User, WebhookEndpoint
from approvals.access import approvals_of
from approvals.models import Approval, Comment
from approvals.policies.rules import policies_of
from approvals.policies.sentences import what_for
from machines.access import machines_of
from runs.audit.access import Row
from runs.models import RunEvent


@dataclass(frozen=True)
class Names:
    """`names`: id -> what it is called. `there`: ids of what still stands on a page."""

    approvals: dict[str, Approval]
    names: dict[str, str]
    there: frozenset[str]

    def of(self, thing: Any) -> Any:
        """The name of what is an id, else the thing itself."""
        return self.names.get(thing, thing) if isinstance(thing, str) else thing


def look_up(actor: Actor, rows: Iterable[Row]) -> Names:
    found = [row for _, row in rows]
    requests = {row.data["approval_id"] for row in found if isinstance(row, RunEvent)}
    requests |= {row.approval_id for row in found if isinstance(row, Comment)}
    ids = {row.subject for row in found if isinstance(row, AuditEntry)} | set(_assignees(found))
    webhooks = WebhookEndpoint.objects.filter(team_id=actor.team_id, test=actor.test)
    members = User.objects.filter(memberships__team_id=actor.team_id)
    hooks, rules = list(_some(webhooks, ids, "whk_")), list(_some(policies_of(actor), ids, "pol_"))
    groups = list(_some(Group.objects.filter(team_id=actor.team_id), ids, "grp_"))
    names = {row.id: row.display_name for row in _some(machines_of(actor), ids, "mch_")}
    names |= {row.id: row.name or row.email for row in _some(User.objects.all(), ids, "usr_")}
    names |= {row.id: row.name for row in groups} | {row.id: row.url for row in hooks}
    names |= {row.id: what_for(row) for row in rules}
    secrets = list(_some(TeamSecret.objects.filter(team_id=actor.team_id, test=actor.test), ids, "sec_"))
    names |= {row.id: row.name for row in secrets}
    there = {row.id for row in hooks if row.deleted_at is None} | {row.id for row in (*rules, *groups, *secrets)}
    there |= {row.id for row in _some(members, ids, "usr_")}
    asked = {row.id: row for row in approvals_of(actor).filter(id__in=requests).only(*_OF_REQUEST)} if requests else {}
    return Names(asked, names, frozenset(there))


_OF_REQUEST = ("id", "title", "run_id", "kind", "void_reason", "replaced_by")


def _some(rows: "QuerySet[Any]", ids: set[str], prefix: str) -> "Iterable[Any]":
    wanted = [each for each in ids if each.startswith(prefix)]
    return rows.filter(id__in=wanted) if wanted else ()


def _assignees(found: Iterable[Any]) -> Iterable[str]:
    for row in found:
        if isinstance(row, RunEvent):
            pair = (row.data.get("before"), row.data.get("after"))
            yield from (each["assignee"] for each in pair if each and each.get("assignee"))
