"""The outbox: what people are to be told, written in the transaction of the change, and the attempts to mail it.

A letter to a person carries everything that is due for them. It is claim() in one transaction, the mail server outside of any,
settle() in another; the person's own row is the lock, so that two workers never write to the same person at once, nor
one worker twice within a minute. What a dying worker had in hand is due again when its LEASE is over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Max, Min, QuerySet
from django.utils import timezone
from django_q.tasks import async_task

from accounts.access import member
from accounts.actor import Actor
from accounts.models import Group, User
from accounts.team.event_retention import remove_old
from approvals.mail import recipients
from approvals.models import Approval, MailSwitches, Notice, NoticeStatus
from database.ids import new_id
from database.outbox import BATCH, QUEUED, due, ended, put_off, take_due
from web.mail_server import Outcome

QUIET = timedelta(seconds=60)  # between two letters to the same person
PAUSES = (60, 300, 1200)  # seconds between the four attempts
MOST_ATTEMPTS = len(PAUSES) + 1
LEASE = timedelta(seconds=300)  # an attempt takes less
REMINDER = "reminder"  # occasions that begin so follow the switch of reminders


@dataclass(frozen=True)
class Letter:
    """One attempt, claimed: to whom, and the notices it carries."""

    id: str
    user: User
    notices: list[Notice]


# --- writing


def opened(approval: Approval, *, again: bool = False) -> None:
    """A request waits for people from now on, or again; the caller's transaction makes it so."""
    words = "Waits for you again" if again else "Asked again" if approval.previous_approval_id else "Waits for you"
    tell(approval, recipients.to_tell(approval), f"opened {approval.version}", words)


def assigned(actor: Actor, approval: Approval) -> None:
    """It was handed to a person or a group. Who did it knows."""
    if approval.assignee is None:
        return
    group = Group.objects.filter(id=approval.assignee).first()
    words = f"{actor.name} handed it to {group.name if group else 'you'}"
    people = [each for each in recipients.assignees(approval) if each not in (actor.id, actor.owner_id)]
    tell(approval, people, f"assigned {approval.version}", words)


def tell(approval: Approval, people: Iterable[str], occasion: str, words: str) -> None:
    """Write one notice for each person and queue the letters, in the caller's transaction. Never twice for an occasion."""
    now = timezone.now()
    of = {"approval": approval, "occasion": occasion, "words": words[:200], "created_at": now}
    rows = [Notice(user_id=person, next_attempt_at=now, queued_until=now + QUEUED, **of) for person in people]
    if rows:
        Notice.objects.bulk_create(rows, ignore_conflicts=True)
        async_task("approvals.tasks.send_mail")


# --- attempts


def queue_due() -> int:
    """Queue what has become due; called by the clock."""
    with transaction.atomic():
        rows = take_due(Notice.objects.only("id"))
        if rows:
            async_task("approvals.tasks.send_mail")
        return len(rows)


def people_due() -> list[str]:
    """Who has something due, the longest wait first."""
    rows = (
        due(Notice.objects.all(), timezone.now()).values("user_id").annotate(since=Min("created_at")).order_by("since")
    )
    return [row["user_id"] for row in rows[:BATCH]]


def claim(user_id: str) -> Letter | None:
    """Begin a letter with all that is due for this person; None when there is nothing to send now."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True, skip_locked=True).filter(id=user_id).first()
        now = timezone.now()
        if user is None or _put_off(user, now):
            return None
        notices = (
            due(Notice.objects.filter(user=user), now).select_related("approval__team").order_by("created_at", "id")
        )
        rows = _worth_sending(user, list(notices), now)
        if not rows:
            return None
        letter = Letter(new_id("ltr"), user, rows)
        _of(rows).update(
            letter=letter.id, attempts=F("attempts") + 1, begun_at=now, next_attempt_at=now + LEASE, queued_until=None
        )
        return letter


def _put_off(user: User, now: datetime) -> bool:
    """Within a minute of a letter nothing goes to this person: what is due then waits for the next."""
    last = Notice.objects.filter(user=user, begun_at__gt=now - QUIET).aggregate(at=Max("begun_at"))["at"]
    if last is None:
        return False
    due(Notice.objects.filter(user=user), now).update(**put_off(last + QUIET))
    return True


def _worth_sending(user: User, rows: list[Notice], now: datetime) -> list[Notice]:
    """Lets go of what has been decided since, is none of the person's business any more, or was tried often enough."""
    chosen = {each.team_id: each for each in MailSwitches.objects.filter(user=user)}
    kept = []
    for row in rows:
        team_id = row.approval.team_id
        if row.attempts >= MOST_ATTEMPTS:
            _finish(_of([row]), NoticeStatus.FAILED, now, "The worker stopped while it was being sent.")
        elif (why := _why_not(row, chosen.get(team_id), now)) is not None:
            _finish(_of([row]), NoticeStatus.DROPPED, now, why)
        else:
            kept.append(row)
    return kept


def _why_not(row: Notice, chosen: MailSwitches | None, now: datetime) -> str | None:
    """Why it is not sent any more."""
    approval = row.approval
    if approval.status != "pending" or approval.is_late(now):
        return "The request was closed before."
    actor = member(row.user_id, approval.team_id, approval.test)
    if actor is None or not recipients.able(approval, [actor]):
        return "The person may not decide it any more."
    return None if recipients.wants(chosen, row.occasion.startswith(REMINDER)) else "Such mails were switched off."


def settle(letter: Letter, outcome: Outcome) -> None:
    """Write what came of an attempt: sent, to be tried again later, or given up."""
    with transaction.atomic():
        now, problem = timezone.now(), outcome.problem
        rows = Notice.objects.filter(letter=letter.id, status="pending")
        if problem is None:
            _finish(rows, NoticeStatus.SENT, now, None)
            return
        _finish(rows if outcome.final else rows.filter(attempts__gte=MOST_ATTEMPTS), NoticeStatus.FAILED, now, problem)
        for attempts, pause in enumerate(PAUSES, start=1):
            rows.filter(attempts=attempts).update(reason=problem, **put_off(now + timedelta(seconds=pause)))


def _finish(rows: QuerySet[Notice], status: NoticeStatus, now: datetime, reason: str | None) -> None:
    """The only writer of a notice's status; it is written once."""
    rows.filter(status="pending").update(reason=reason, **ended(status, now))


def _of(rows: Iterable[Notice]) -> QuerySet[Notice]:
    return Notice.objects.filter(id__in=[row.id for row in rows])


# --- reading, retention


def troubles(approval: Approval) -> list[Notice]:
    """The last notice of each person that could not be delivered, if their last one is such."""
    tried = Notice.objects.filter(approval=approval, begun_at__isnull=False).exclude(status="dropped")
    last = {row.user_id: row for row in tried.select_related("user").order_by("created_at", "id")}
    return [row for row in last.values() if row.reason is not None]


def sweep() -> int:
    """Forget notices that are older than their team keeps events; called by the clock."""
    return remove_old(_old)


def _old(team_id: str, before: datetime) -> QuerySet[Notice]:
    rows = Notice.objects.filter(approval__team_id=team_id, created_at__lt=before).exclude(status="pending")
    return Notice.objects.filter(id__in=list(rows.values_list("id", flat=True)[:BATCH]))
