"""What can go wrong between a program and the people it asks. All of it is a CountersignError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from countersign.verdict import Verdict


class CountersignError(Exception):
    """Something kept the program from an approval. Whatever it was: do not act."""


class Unreachable(CountersignError):
    """The server gave no answer for as long as we were ready to try. `approval_id`: what is still open, where one is."""

    def __init__(self, message: str, approval_id: str | None = None) -> None:
        super().__init__(message)
        self.approval_id = approval_id


class Refused(CountersignError):
    """The server understood and said no: `status` of HTTP, `code` as in docs/errors.md, `facts` beside it."""

    def __init__(self, status: int, code: str, message: str, facts: Mapping[str, Any]) -> None:
        super().__init__(f"{message} ({status} {code})")
        self.status = status
        self.code = code
        self.facts = facts


class ActionChanged(CountersignError):
    """What was approved is not what was asked for."""


class AlreadyDone(CountersignError):
    """It was approved, and carried out under this approval before: an approval is for one execution."""


class NotApproved(CountersignError):
    """People rejected it, nobody answered in time, or it was withdrawn; `verdict` says which."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"{verdict.status}: {verdict.note}" if verdict.note else verdict.status)
        self.verdict = verdict
