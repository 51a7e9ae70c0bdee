"""Values that people and workflows give to a run in confidence: sealed with it, put in at the machine, gone when it ends.

Everything that is hashed, shown, stored or sent names them only (base.Act.secrets).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from accounts.sealing import seal, unseal
from machines.drivers.base import Action, ActResult
from runs.agents.base import Act
from runs.models import Run

REDACTED = "[redacted]"
T = TypeVar("T")


def kept_secrets(run: Run) -> dict[str, str]:
    """The secrets of the run by name, readable."""
    kept: dict[str, str] = unseal(run.secrets) if run.secrets else {}
    return kept


def sealed_with(run: Run, more: Mapping[str, str]) -> bytes | None:
    """What the run keeps once these are added; a name is used again for the newest value."""
    kept = kept_secrets(run) | dict(more)
    return seal(kept) if kept else None


def secret_values(payload: Any, redacted: Any, at: str = "") -> dict[str, str]:
    """What of a decision's data was redacted, by dotted path."""
    if redacted == REDACTED and payload != REDACTED:
        return {at: _text(payload)}
    if isinstance(payload, dict) and isinstance(redacted, dict):
        parts = [(key, value, redacted.get(key)) for key, value in payload.items()]
    elif isinstance(payload, list) and isinstance(redacted, list):
        parts = [(str(n), *pair) for n, pair in enumerate(zip(payload, redacted, strict=False))]
    else:
        return {}
    return {
        path: text
        for key, value, shown in parts
        for path, text in secret_values(value, shown, f"{at}.{key}" if at else key).items()
    }


def _text(value: Any) -> str:
    """An answer is kept as {value, custom}, or as a list of these."""
    items = value if isinstance(value, list) else [value]
    texts = [item.get("value") if isinstance(item, dict) and "value" in item else item for item in items]
    return ", ".join(text if isinstance(text, str) else str(text) for text in texts)


def with_secrets(act: Act, kept: Mapping[str, str]) -> Action | None:
    """The action as the machine gets it; None when a secret that it names is not kept."""
    params = dict(act.action.params)
    for key, pieces in act.secrets.items():
        if any(kind == "secret" and text not in kept for kind, text in pieces):
            return None
        params[key] = "".join(kept[text] if kind == "secret" else text for kind, text in pieces)
    return replace(act.action, params=params, secret=True) if act.secrets else act.action


def without_secrets(result: ActResult, kept: Mapping[str, str]) -> ActResult:
    """What the machine says of an action, without the secrets of the run: a later command may print an earlier one."""
    return ActResult(result.success, cleared(result.error, kept), cleared(result.data, kept)) if kept else result


def cleared(value: T, kept: Mapping[str, str]) -> T:
    """Text, or JSON with text in it, as it may be kept and shown."""
    if not kept:
        return value
    if isinstance(value, dict):
        return {key: cleared(item, kept) for key, item in value.items()}  # type: ignore[return-value]
    if isinstance(value, list):
        return [cleared(item, kept) for item in value]  # type: ignore[return-value]
    if isinstance(value, str):
        return _replaced(value, kept)  # type: ignore[return-value]
    return value


def _replaced(text: str, kept: Mapping[str, str]) -> str:
    """The longest first: one secret may be a part of another."""
    for secret in sorted(filter(None, kept.values()), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return text
