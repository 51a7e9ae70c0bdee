"""What people decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from countersign.errors import NotApproved


@dataclass(frozen=True)
class Verdict:
    """A request as the server shows it (docs/api/approvals.md section 2). True in a condition only if people said yes."""

    approval: Mapping[str, Any]

    def __bool__(self) -> bool:
        return self.status in {"approved", "answered"}

    @property
    def id(self) -> str:
        return str(self.approval["id"])

    @property
    def status(self) -> str:
        """approved, rejected, answered, expired, cancelled, void; pending where the wait was bounded and nobody has decided."""
        return str(self.approval["status"])

    @property
    def is_pending(self) -> bool:
        return self.status == "pending"

    @property
    def note(self) -> str:
        """What the person wrote beside it: the reason of a rejection; "" for nothing."""
        return str(self._decision.get("note") or "")

    @property
    def decided_by(self) -> str:
        """Name of the person, key or "system"; "" where nobody decided."""
        return str((self._decision.get("actor") or {}).get("name") or "")

    @property
    def outcome(self) -> str | None:
        """What was reported of it: executed, skipped or failed; None for nothing yet."""
        return (self._decision.get("receipt") or {}).get("outcome")

    @property
    def is_edited(self) -> bool:
        """A person approved it with other params than asked for."""
        return self._edit is not None

    @property
    def params(self) -> dict[str, Any]:
        """The parameters to act with: as approved, so as a person may have edited them."""
        action = self._edit or self.approval.get("action") or {}
        return dict(action.get("params") or {})

    @property
    def answers(self) -> dict[str, Any]:
        """{question id: text}; a list of texts where several may be chosen."""
        return {name: _values(answer) for name, answer in (self._decision.get("answers") or {}).items()}

    @property
    def answer(self) -> Any:
        """That of a request with one question; None where there is none."""
        answers = list(self.answers.values())
        return answers[0] if len(answers) == 1 else None

    @property
    def values(self) -> dict[str, Any]:
        """What was filled in, of a request of kind input."""
        return dict(self._decision.get("values") or {})

    def or_raise(self) -> Verdict:
        """Itself if people said yes. Raises NotApproved."""
        if not self:
            raise NotApproved(self)
        return self

    @property
    def _decision(self) -> Mapping[str, Any]:
        return self.approval.get("decision") or {}

    @property
    def _edit(self) -> Mapping[str, Any] | None:
        """Of an action that nobody changed the decision has an action_after too: that is no edit."""
        return self.approval.get("edited_action")


def _values(answer: Any) -> Any:
    """Answers are kept as {value, custom}, several as a list of these."""
    if isinstance(answer, list):
        return [_values(each) for each in answer]
    return answer["value"] if isinstance(answer, dict) and "value" in answer else answer
