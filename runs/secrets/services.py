"""Values that nobody but the machine gets to see: those that people and workflows give to a run in confidence, sealed with it
and gone when it ends, and the secrets of its team (accounts/secrets).

Everything that is hashed, shown, stored or sent names them only: `{{secret:NAME}}` (base.Act.secrets). The drive loop puts
the values in at the machine, and takes them out of whatever the machine says afterwards.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.db import transaction

from accounts.secrets import services as team_secrets
from accounts.secrets.services import Handed
from accounts.secrets.totp import code, seconds_left
from database.sealing import seal, unseal
from machines.actions import typed_secrets
from machines.drivers.base import Action, ActResult
from runs.agents.base import Act
from runs.driving.steps import LeaseLost
from runs.models import Run
from runs.secrets.handles import HANDLE
from runs.secrets.redaction import REDACTED, Redaction

# What may hold a secret, by kind of machine: it is typed, and goes nowhere else. A simulated machine is never given one.
_TYPED: dict[str, frozenset[str]] = {
    "browser": frozenset({"type_text", "fill"}),
    "terminal": frozenset({"type_text", "run_line"}),
    "simulated": frozenset({"type_text", "fill", "run_line"}),
}
# Beside the run's own secrets: values and codes of the team that it has put in. No name can be spelled so.
_PUT_IN, _CODES = "\0put in", "\0codes"
_MOST_CODES = 50  # that are remembered; they have long run out then. A value is never forgotten
SHORTEST_CODE = 5.0  # seconds that a code still has to hold when it is typed
T = TypeVar("T")


class Withheld(Exception):
    """The action names a secret that may not go where it would; the message is for people."""


@dataclass(frozen=True)
class Later:
    """A code of the moment is about to run out: ask again after so many seconds."""

    seconds: float


class RunSecrets(dict[str, str]):
    """The secrets of a run by name, readable. `hidden`: these, and what else it has put in, as they may turn up again."""

    hidden: Redaction


def kept_secrets(run: Run) -> RunSecrets:
    """Opened once, until what is sealed changes."""
    opened: tuple[Any, RunSecrets] | None = run.__dict__.get("_kept_secrets")
    if opened is None or opened[0] is not run.secrets:
        of_machine: list[str] = run.__dict__.get("_of_machine", [])
        raw: dict[str, Any] = unseal(run.secrets) if run.secrets else {}
        typed = [*raw.pop(_PUT_IN, []), *raw.pop(_CODES, [])]
        kept = RunSecrets(raw)
        kept.hidden = Redaction([*raw.values(), *typed, *of_machine])
        opened = run.__dict__["_kept_secrets"] = (run.secrets, kept)
    return opened[1]


def know_machine(run: Run) -> None:
    """Read what was typed on its machine before, by other runs too: it may be there to be seen."""
    if run.machine_id and not run.owns_machine:
        run.__dict__["_of_machine"] = typed_secrets.texts_of(run.machine_id)
        run.__dict__.pop("_kept_secrets", None)


def sealed_with(run: Run, more: Mapping[str, str]) -> bytes | None:
    """What the run keeps once these are added; a name is used again for the newest value."""
    kept = (unseal(run.secrets) if run.secrets else {}) | dict(more)
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


# --- putting them in


def named_by(act: Act) -> list[str]:
    """The secrets that the action names, each once."""
    names = (text for pieces in act.secrets.values() for kind, text in pieces if kind == "secret")
    return list(dict.fromkeys(names))


def ready(run: Run, act: Act) -> Action | None:
    """The action as the machine gets it, where that needs no secret of the team; None where it does. Raises Withheld."""
    names, allowed = named_by(act), _TYPED.get(run.machine_kind, frozenset())
    if act.action.name not in allowed and (names or any(map(_has_handle, act.action.params.values()))):
        raise Withheld("A secret can only be typed: into a field of a page, or into a terminal.")
    if not names:
        return act.action
    kept = kept_secrets(run)
    return None if any(name not in kept for name in names) else _filled(run, act, kept)


def opened(run: Run, epoch: int, act: Act) -> Action | Later:
    """The action with secrets of the team in it; that they are used is written down before. Raises Withheld, LeaseLost."""
    kept = kept_secrets(run)
    handed = _take(run, epoch, act, [name for name in named_by(act) if name not in kept])
    if isinstance(handed, Later):
        return handed
    action = _filled(run, act, kept | {secret.name: secret.text for secret in handed})
    return replace(action, only=tuple(secret.hosts for secret in handed) if run.machine_kind == "browser" else ())


def _filled(run: Run, act: Act, values: Mapping[str, str]) -> Action:
    if run.machine_kind == "simulated":
        return act.action
    params = dict(act.action.params)
    for key, pieces in act.secrets.items():
        params[key] = "".join(values[text] if kind == "secret" else text for kind, text in pieces)
    return replace(act.action, params=params, secret=True)


def _has_handle(value: Any) -> bool:
    return isinstance(value, str) and HANDLE.search(value) is not None


def _take(run: Run, epoch: int, act: Act, names: list[str]) -> list[Handed] | Later:
    """The team's secrets of these names with what is to be typed, which is sealed with the run from now on."""
    with transaction.atomic():
        fresh = Run.objects.select_for_update().filter(id=run.id, lease_epoch=epoch, status="running").first()
        if fresh is None:
            raise LeaseLost
        there = team_secrets.readable(run.team_id, run.test, names)
        for name in names:
            if name not in there:
                raise Withheld(f'There is no secret "{name}" any more.')
            if run.machine_kind == "terminal" and run.machine_id not in there[name].machines:
                raise Withheld(f'The secret "{name}" is not for this terminal: it is not among its machines.')
            if not there[name].text:
                raise Withheld(f'The secret "{name}" cannot be opened any more: its value has to be kept anew.')
        now = _now()
        if seconds_left(now) < SHORTEST_CODE and any(secret.kind == "totp" for secret in there.values()):
            return Later(seconds_left(now))
        handed = [
            replace(secret, text=code(secret.text, now)) if secret.kind == "totp" else secret
            for secret in there.values()
        ]
        run.secrets = fresh.secrets = _sealed_put_in(fresh, handed)
        fresh.save(update_fields=["secrets"])
        _on_machine(run, [secret.text for secret in handed if secret.kind != "totp"])
        team_secrets.used(run.team_id, run.test, run.id, handed, act.action.name, act.host)
        return handed


def own_put_in(run: Run, act: Act) -> None:
    """Write down which of the run's own secrets its machine is about to get."""
    kept = kept_secrets(run)
    _on_machine(run, [kept[name] for name in named_by(act) if name in kept])


def _on_machine(run: Run, texts: list[str]) -> None:
    if run.machine_id and run.machine_kind != "simulated":
        typed_secrets.remember(run.machine_id, texts)


def _now() -> float:
    return time.time()


def _sealed_put_in(run: Run, handed: list[Handed]) -> bytes:
    raw: dict[str, Any] = unseal(run.secrets) if run.secrets else {}
    values = dict.fromkeys([*raw.get(_PUT_IN, []), *(secret.text for secret in handed if secret.kind != "totp")])
    codes = dict.fromkeys([*raw.get(_CODES, []), *(secret.text for secret in handed if secret.kind == "totp")])
    return seal(raw | {_PUT_IN: list(values), _CODES: list(codes)[-_MOST_CODES:]})


def not_put_in(run: Run, act: Act, why: str) -> None:
    """Write down that the machine did not put in what it was given."""
    names = [name for name in named_by(act) if name not in kept_secrets(run)]
    team_secrets.withheld(run.team_id, run.test, run.id, names, why)


# --- taking them out


def without_secrets(result: ActResult, kept: Mapping[str, str]) -> ActResult:
    """What the machine says of an action, without the secrets of the run: a later command may print an earlier one."""
    return ActResult(result.success, cleared(result.error, kept), cleared(result.data, kept))


def cleared(value: T, kept: Mapping[str, str]) -> T:
    """Text, or JSON with text in it, as it may be kept and shown."""
    return (kept.hidden if isinstance(kept, RunSecrets) else Redaction(list(kept.values()))).cleared(value)
