"""The port to what a request is about: its subject, which a decision changes.

Approvals know requests, decisions and people, and nothing of runs. Whoever opens requests says here what a decision does to
what they are about; it registers its Subject once, when the process starts (AppConfig.ready()).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from django.db.models import QuerySet

from accounts.actor import Actor
from approvals.answers.answer import Answer
from approvals.models import Approval
from approvals.services import Settled

Change = dict[str, Any]  # what a subject's log says of a request: {approval_id, change, by, at, …}


@dataclass(frozen=True)
class Picture:
    """The content of a file and its type: image/png, image/jpeg."""

    content: bytes
    content_type: str


@dataclass(frozen=True)
class CardFacts:
    """What a card shows of the subject as it is now; what it was when people were asked stands in Approval.context.

    `url`: its page; "" when it has none besides the request's. The addresses after it: of runs only. `control`: who controls
    the machine that a takeover request is about, mine, other, free (the actor may take it), none (there is nothing to take, or
    the actor may not), "" for other kinds.
    """

    url: str = ""
    root_url: str = ""  # of what it is a part of; its own when it stands alone
    screen_url: str = ""
    control_url: str = ""
    control: str = ""
    controller: str = ""  # their name
    screen_text: Callable[[], str] = str  # asks what a terminal showed when the request was opened


@dataclass(frozen=True)
class Accepted:
    """An answer that fits the subject. `hands_back`: the actor gives back control of the machine with it."""

    answer: Answer
    hands_back: bool = False


class Locked(Protocol):
    """A subject that the transaction has locked; the request is locked after it."""

    @property
    def id(self) -> str: ...

    @property
    def status(self) -> str:
        """Of a run; what is no run of ours has none, and the answer to a decision then says nothing of a run."""

    @property
    def requests(self) -> QuerySet[Approval]:
        """All requests about it."""

    @property
    def is_stopped(self) -> bool:
        """A stop holds it: no time of its requests runs out."""

    @property
    def goes_on(self) -> bool:
        """It works and waits for nobody."""

    def accept(self, actor: Actor, approval: Approval, answer: Answer) -> Accepted:
        """The answer as it will be settled. Raises a Refusal: an edited action that does not fit, a machine in other hands."""

    def record(self, *changes: Change) -> None:
        """Write changes that decide nothing, or not yet, into its log; not into that of a subject that has ended."""

    def put_off(self, until: datetime | None, *changes: Change) -> None:
        """As record(). The decision takes effect then; None: at a time that nobody knows, or there is no decision any more."""

    def take_effect(self, approval: Approval, settled: Settled) -> bool:
        """What the decision does. False: not now; whoever lets the subject go on calls deciding.take_late_effects()."""

    def end_unanswered(self, approval: Approval, change: Change) -> None:
        """Nobody answered, and the request's on_timeout says that this ends the subject: cancel or fail."""

    def announce(self, approval: Approval, change: str) -> None:
        """Tell webhooks: the request was decided, undone or expired. Called last in the transaction."""


class Subject(Protocol):
    """What requests of one type are about."""

    def lock(self, approval: Approval) -> Locked:
        """Everything that a decision on the request changes, in the order of locks; inside atomic()."""

    def card(self, actor: Actor, approval: Approval) -> CardFacts: ...

    def page_url(self, subject_id: str) -> str:
        """Its page; "" where subjects have none besides the request's."""

    def picture(self, approval: Approval, index: int) -> Picture | None:
        """One of those that people are shown with the request; None where there is none of that number, or it is gone."""

    def picture_url(self, approval: Approval, index: int) -> str:
        """Where pages get it, for who is signed in and may see it; also an earlier one than picture() gives."""

    def held_up(self, approval_ids: Collection[str]) -> list[tuple[str, str]]:
        """(request, what it keeps waiting) for each top-level subject that one of the pending requests holds up."""

    def ended(self, team_id: str, test: bool, since: datetime, until: datetime) -> int:
        """How many top-level runs ended in that time; `until` is not in it. 0 where subjects are no runs."""


TYPES = ("run", "external")  # of subjects: approvals.models.Approval.subject_type
_SUBJECTS: dict[str, Callable[[], Subject]] = {}


def register(subject_type: str, subject: Callable[[], Subject]) -> None:
    """`subject` is called when a request needs it: commands that need none load nothing for it."""
    if subject_type not in TYPES:
        raise ValueError(f"{subject_type} is no type of subject.")
    _SUBJECTS[subject_type] = subject


def subject_of(approval: Approval) -> Subject:
    return _SUBJECTS[approval.subject_type]()


def run_url(run_id: str) -> str:
    """The page of a run, for what names one without being a request about it."""
    return _SUBJECTS["run"]().page_url(run_id)


def subjects() -> list[Subject]:
    return [subject() for subject in _SUBJECTS.values()]


def lock(approval: Approval) -> Locked:
    return subject_of(approval).lock(approval)
