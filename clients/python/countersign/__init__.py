"""Ask people before a program acts, and wait for what they decide: docs/ask.md."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from countersign.client import ActionFields, AsyncClient, Client
from countersign.decorator import requires_approval
from countersign.errors import ActionChanged, AlreadyDone, CountersignError, NotApproved, Refused, Unreachable
from countersign.plans import Fields
from countersign.verdict import Verdict

__all__ = [
    "ActionChanged",
    "AlreadyDone",
    "AsyncClient",
    "Client",
    "CountersignError",
    "NotApproved",
    "Refused",
    "Unreachable",
    "Verdict",
    "approve",
    "ask",
    "requires_approval",
]


def approve(
    name: str,
    params: Mapping[str, Any],
    *,
    title: str | None = None,
    wait: float | None = None,
    **more: Unpack[ActionFields],
) -> Verdict:
    """Client().approve(): the server and the key are those of the environment."""
    return Client().approve(name, params, title=title, wait=wait, **more)


def ask(question: str, options: Sequence[str] = (), *, wait: float | None = None, **fields: Unpack[Fields]) -> Verdict:
    """Client().ask(): the server and the key are those of the environment."""
    return Client().ask(question, options, wait=wait, **fields)
