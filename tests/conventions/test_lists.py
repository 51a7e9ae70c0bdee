"""Lists: one envelope, limits, filters, cursors (docs/api/README.md section 8)."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.cast import Api
from tests.conventions.conftest import locs, refused

pytestmark = pytest.mark.django_db
ALIASES = ("keys", "sessions")  # the rows once more: docs/api/aliases.md
LISTS = ["/runs", "/approvals", "/machines", "/keys", "/billing/ledger", "/workflows"]


@pytest.mark.parametrize("path", LISTS)
def test_a_list_has_the_one_envelope(live: Api, path: str) -> None:
    answer = live.get(path)
    body = answer.json()
    assert body.keys() - {"summary", *ALIASES} == {"object", "data", "has_more", "next_cursor", "request_id"}
    assert (body["object"], body["has_more"], body["next_cursor"]) == ("list", False, None)
    assert body["request_id"] == answer["X-Request-Id"]


@pytest.mark.parametrize("path", LISTS)
def test_T_009_a_limit_outside_1_to_200_is_400(live: Api, path: str) -> None:
    for text, actual in (
        ("0", 0),
        ("201", 201),
        ("abc", "abc"),
        ("-1", -1),
        ("1.5", "1.5"),
        ("", ""),
        ("٣", "٣"),
        ("9" * 5000,) * 2,
    ):
        error = refused(live.get(f"{path}?limit={quote(text)}"), 400, "INVALID_LIMIT")
        assert (error["min"], error["max"], error["type"], error["actual"]) == (1, 200, "validation_error", actual)
    assert live.get(f"{path}?limit=1").status_code == live.get(f"{path}?limit=200").status_code == 200


def test_T_010_an_unknown_status_is_400_and_state_is_an_alias(test_key: Api, run_id: str) -> None:
    for query in ("status=zombie", "state=zombie", "status=queued,zombie", "status=QUEUED", "status=,"):
        error = refused(test_key.get(f"/runs?{query}"), 400, "INVALID_STATUS_FILTER")
        assert error["valid_options"] == [
            "queued", "running", "awaiting_human", "succeeded", "failed", "cancelled", "timed_out"
        ]  # fmt: skip
    for query in ("status=queued", "state=queued", "status=running,queued", "status=queued, running"):
        assert [r["id"] for r in test_key.get(f"/runs?{quote(query, safe='=')}").json()["data"]] == [run_id]
    assert test_key.get("/runs?state=running").json()["data"] == []


def test_an_unknown_filter_word_is_400_with_the_known_ones(live: Api) -> None:
    for path, name in (
        ("/runs", "kind"), ("/approvals", "kind"), ("/approvals", "sort"), ("/billing/ledger", "type"), ("/machines",
        "kind")
    ):  # fmt: skip
        error = refused(live.get(f"{path}?{name}=x"), 400, "INVALID_FILTER")
        assert error["parameter"] == name
        assert len(error["valid_options"]) > 1


def test_other_lists_refuse_unknown_statuses_too(live: Api) -> None:
    for path in ("/approvals", "/machines", "/workflows"):
        assert len(refused(live.get(f"{path}?status=zombie"), 400, "INVALID_STATUS_FILTER")["valid_options"]) > 1


@pytest.mark.parametrize("path", LISTS)
def test_unknown_parameters_and_odd_characters_are_harmless(live: Api, path: str) -> None:
    assert live.get(f"{path}?colour=red&page=7").status_code == 200
    for name in ("run_id", "machine_id", "end_user", "assignee", "parent"):
        assert live.get(f"{path}?{name}=a%00b").status_code == 200
        assert live.get(f"{path}?{name}=%ED%A0%80%FF").status_code == 200


def test_an_unknown_parent_is_404(live: Api) -> None:
    refused(live.get("/runs?parent_id=wfr_none"), 404, "RUN_NOT_FOUND")


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_not_of_this_server_is_400(live: Api, path: str) -> None:
    for cursor in ("x", "§§", "eyJ9", "a" * 3000, "%00", "WyJhIl0", "null", "W10"):
        refused(live.get(f"{path}?cursor={cursor}"), 400, "INVALID_CURSOR")


def walk(api: Api, path: str, between: Any = None) -> list[str]:
    """Every id of a list, page by page; `between` runs after each page."""
    ids: list[str] = []
    cursor = ""
    while True:
        body = api.get(f"{path}{'&' if '?' in path else '?'}limit=2{cursor}").json()
        assert len(body["data"]) <= 2
        ids += [row.get("id") or row["key_id"] for row in body["data"]]
        assert body["has_more"] == (body["next_cursor"] is not None)
        if not body["has_more"]:
            return ids
        cursor = f"&cursor={body['next_cursor']}"
        if between:
            between()


def start(api: Api) -> str:
    return api.post("/runs", {"task": "x"}).json()["id"]


def test_items_made_while_paging_neither_repeat_nor_hide_others(test_key: Api) -> None:
    made = [start(test_key) for _ in range(5)]
    assert walk(test_key, "/runs", lambda: start(test_key)) == made[::-1]


def test_a_page_has_20_rows_unless_asked_otherwise(test_key: Api) -> None:
    made = [start(test_key) for _ in range(21)]
    body = test_key.get("/runs").json()
    assert [r["id"] for r in body["data"]] == made[:0:-1]
    assert body["has_more"] is True


def test_the_last_full_page_has_no_cursor(test_key: Api) -> None:
    made = [start(test_key) for _ in range(4)]
    assert walk(test_key, "/runs") == made[::-1]


def test_keys_machines_and_the_ledger_are_walked_alike(live: Api) -> None:
    keys = [live.post("/keys", {"name": "n"}).json()["key_id"] for _ in range(3)]
    assert walk(live, "/keys")[:3] == keys[::-1]
    machines = [live.post("/machines", {"display_name": "m", "kind": "simulated"}).json()["id"] for _ in range(5)]
    assert walk(live, "/machines") == machines
    assert len(walk(live, "/billing/ledger")) == 1


def test_a_cursor_keeps_to_its_filter_and_its_list(test_key: Api) -> None:
    made = [start(test_key) for _ in range(4)]
    test_key.post(f"/runs/{made[2]}/cancel")
    assert walk(test_key, "/runs?status=queued") == [made[3], made[1], made[0]]
    cursor = test_key.get("/runs?limit=1").json()["next_cursor"]
    refused(test_key.get(f"/approvals?cursor={cursor}"), 400, "INVALID_CURSOR")


def test_bad_times_and_periods_are_422_at_the_query(live: Api) -> None:
    for name in ("from", "to"):
        assert locs(live.get(f"/billing/ledger?{name}=yesterday")) == [["query", name]]
        for text in ("2026-02-31", "0001-01-01T00:00:00%2B23:59", "9999-12-31T23:59:59-23:59"):
            assert locs(live.get(f"/billing/ledger?{name}={text}")) == [["query", name]]
    for period in ("2026", "2026-13", "0000-01", "2026-1", "x", "２０２６-01"):
        assert locs(live.get(f"/usage?period={quote(period)}")) == [["query", "period"]]
    for period in ("0001-01", "9999-12"):
        assert live.get(f"/usage?period={period}").json()["total_credits"] == 0


def test_the_ledger_is_filtered_by_type_run_and_time(live: Api) -> None:
    def count(query: str) -> int:
        return len(live.get(f"/billing/ledger?{query}").json()["data"])

    assert (count("type=topup"), count("type=hold"), count("type=hold,topup"), count("run_id=run_none")) == (1, 0, 1, 0)
    assert (count("from=2026-01-01"), count("to=2026-01-01"), count("from=2199-01-01T00:00:00Z")) == (1, 0, 0)
    assert (count("from=0001-01-01T00:00:00Z"), count("to=9999-12-31T23:59:59Z")) == (1, 1)
