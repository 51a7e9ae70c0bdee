"""Tables of doors: one line for each route, one column for each kind of caller, and calls that leave nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

from django.db import transaction
from django.test import Client

from tests.cast import Api, Cast, agent_credential

PEOPLE = {"owner": "olga", "admin": "adam", "approver": "ana", "operator": "alice", "viewer": "bob"}
CALLERS = (*PEOPLE, "stranger", "out", "key", "agent")  # a stranger owns another team; `out` has not signed in


@dataclass(frozen=True)
class Door:
    """`GET /runs/{run}` and what it answers to each caller; `body` is sent with it."""

    method: str
    path: str
    expected: dict[str, int]
    body: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


def read_table(table: str, callers: tuple[str, ...] = CALLERS) -> list[Door]:
    """Lines of method, path, a status for each caller and, for some, a body."""
    doors = []
    for line in table.strip().splitlines():
        method, path, *rest = line.split(None, len(callers) + 2)
        statuses, body = rest[: len(callers)], rest[len(callers) :]
        expected = dict(zip(callers, map(int, statuses), strict=True))
        doors.append(Door(method, path, expected, body[0] if body else ""))
    return doors


def filled_in(text: str, things: dict[str, str]) -> str:
    """The path or body with the ids of real things in place of their names."""
    for name, value in things.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def client_of(who: str, cast: Cast, strangers: Cast) -> Client:
    """A browser of this caller; keys and agents bring no cookie."""
    if who in PEOPLE:
        return cast.browser(PEOPLE[who])
    return strangers.browser("olga") if who == "stranger" else Client()


def credential(who: str, cast: Cast, scopes: frozenset[str]) -> dict[str, str]:
    """The header that a key or an agent sends."""
    if who == "key":
        api: Api = cast.api(scopes=scopes)
        return {"X-API-Key": api.key}
    return {"X-API-Key": agent_credential("run_x")} if who == "agent" else {}


@contextmanager
def without_trace(client: Client) -> Iterator[None]:
    """What happens inside is undone, cookies too, so that each door is tried on the same things."""
    cookies = deepcopy(client.cookies)
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
    client.cookies = cookies
