"""What accounts add to the audit: every change that has no other table, and the names of people and of what a team owns."""

from collections.abc import Collection
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.fields.json import KT
from django.urls import reverse

from accounts.actor import Actor
from accounts.audit import sources, things
from accounts.audit.entries import Entry, channel, note_of
from accounts.audit.query import KINDS, Query
from accounts.audit.sources import Source
from accounts.audit.things import Thing, Things
from accounts.audit.values import Change, difference, redacted, without_secrets
from accounts.audit.words import KIND_ICONS, changed
from accounts.models import AUDITED_KIND, AuditEntry, Group, Membership, TeamSecret, User, WebhookEndpoint

_NAMED = ("name", "display_name", "url", "email", "reference")  # what an entry calls its subject


def register() -> None:
    sources.register("changes", Source("at", _rows, lambda row: (row.subject,), _entry))
    things.register("usr", _people)
    things.register("grp", _groups)
    things.register("key", _keys)
    things.register("whk", _webhooks)
    things.register("sec", _secrets)


def _rows(actor: Actor, query: Query) -> QuerySet[AuditEntry]:
    """Entries of the actor's world, and of both."""
    if query.kind in ("decision", "request") or query.verdict:
        return AuditEntry.objects.none()
    rows = AuditEntry.objects.filter(Q(test=actor.test) | Q(test__isnull=True), team_id=actor.team_id)
    if query.kind:
        rows = rows.alias(written_kind=AUDITED_KIND).filter(written_kind__in=KINDS[query.kind])
    if query.run:
        runs = things.below(actor, "run", query.run)
        rows = rows.alias(of_run=KT("data__run_id")).filter(data__has_key="run_id", of_run__in=runs)
    if query.subject:
        rows = rows.filter(subject=query.subject)
    return rows.alias(who=KT("actor__id")).filter(who=query.who) if query.who else rows


def _entry(actor: Actor, row: AuditEntry, named: Things) -> Entry:
    data = dict(row.data)
    changes = _changes(row.verb, data.pop("before", None), data.pop("after", None))
    name = next((str(data.pop(field)) for field in _NAMED if data.get(field)), None)
    note = data.pop("reason", None) or data.pop("problem", None)
    kind, what = _kind(row.verb), changed(row.verb)
    if row.verb == "policy.created" and data.get("effect"):
        what = f"{what} to {data['effect']}"
    return Entry(
        id=f"audit_{row.pk}",
        at=row.at,
        actor=row.actor,
        via=channel(row.actor),
        kind=kind,
        action=row.verb,
        what=what,
        about="" if row.subject == actor.team_id else without_secrets(name or named.name_of(row.subject)),
        icon=KIND_ICONS.get(kind, "file-text"),
        test=row.test,
        changes=changes,
        facts={name: redacted(value, name) for name, value in data.items() if _says_something(value)},
        note=note_of(note),
        run_id=data.get("run_id"),
        subject=row.subject,
        href=named.href_of(row.subject),
    )


def _changes(verb: str, before: Any, after: Any) -> list[Change]:
    """Settings have many values before and after, other things one: its name is that of the verb, or it is the status."""
    if isinstance(before, dict) or isinstance(after, dict):
        return difference(before, after)
    if before is None and after is None:
        return []
    kind, _, name = verb.removesuffix("_changed").partition(".")
    moved = kind == "machine" and after is None and isinstance(before, str)
    return difference({"status": before}, {"status": name}) if moved else difference({name: before}, {name: after})


def _kind(verb: str) -> str:
    word = verb.partition(".")[0]
    return next((kind for kind, written in KINDS.items() if word in written), word)


def _says_something(value: Any) -> bool:
    return value is not None and value is not False and value not in ([], {})


def _people(actor: Actor, ids: Collection[str]) -> dict[str, Thing]:
    """Also of those who left."""
    rows = Membership.objects.filter(team_id=actor.team_id, user_id__in=ids)
    members, page = set(rows.values_list("user_id", flat=True)), reverse("members")
    return {
        user.id: Thing(user.name or user.email, f"{page}#{user.id}" if user.id in members else "")
        for user in User.objects.filter(id__in=ids)
    }


def _groups(actor: Actor, ids: Collection[str]) -> dict[str, Thing]:
    rows = Group.objects.filter(team_id=actor.team_id, id__in=ids)
    return {row.id: Thing(row.name, reverse("group", args=[row.id])) for row in rows}


def _keys(actor: Actor, ids: Collection[str]) -> dict[str, Thing]:
    return dict.fromkeys(ids, Thing(href=reverse("keys"))) if actor.may("keys") else {}


def _webhooks(actor: Actor, ids: Collection[str]) -> dict[str, Thing]:
    rows = WebhookEndpoint.objects.filter(team_id=actor.team_id, test=actor.test, id__in=ids)
    return {row.id: Thing(row.url, "" if row.deleted_at else reverse("webhook", args=[row.id])) for row in rows}


def _secrets(actor: Actor, ids: Collection[str]) -> dict[str, Thing]:
    rows, readable = TeamSecret.objects.filter(team_id=actor.team_id, test=actor.test, id__in=ids), "secrets:write"
    return {row.id: Thing(row.name, reverse("secret", args=[row.id]) if actor.may(readable) else "") for row in rows}
