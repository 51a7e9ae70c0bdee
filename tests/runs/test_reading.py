"""Reading runs: one, many, their pictures."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from runs.models import Run
from tests.cast import Api, Cast
from tests.runs.driving import begin, drive_all, ended, shift, show, simulated, waiting

pytestmark = pytest.mark.django_db


def _forever(api: Api, run_id: str) -> None:
    """Read it, let two days pass, read it again: not a byte differs."""
    first = api.get(f"/runs/{run_id}").content
    Run.objects.filter(id=run_id).update(lease_owner=None, lease_until=None)
    assert api.get(f"/runs/{run_id}").content == first
    listed = next(r for r in api.get("/runs").json()["data"] if r["id"] == run_id)
    assert listed == json.loads(first)


@pytest.mark.parametrize("task", ["x", "x [fail]", "x [unverified]"])
def test_T_027_a_finished_run_reads_the_same_for_ever(test_key: Api, task: str) -> None:
    run = ended(test_key, task, cua_version="v4", metadata={"b": 1, "a": 2})
    assert run["status"] in ("succeeded", "failed")
    _forever(test_key, run["id"])


def test_T_027_a_cancelled_run_too(test_key: Api) -> None:
    run = waiting(test_key)
    shift(run["id"], 90)
    test_key.post(f"/runs/{run['id']}/cancel")
    _forever(test_key, run["id"])


def test_active_seconds_leave_waiting_out(test_key: Api) -> None:
    run = waiting(test_key)
    Run.objects.filter(id=run["id"]).update(
        created_at=F("created_at") - timedelta(seconds=100),
        awaiting_human_since=F("awaiting_human_since") - timedelta(seconds=60),
    )
    assert show(test_key, run["id"])["active_seconds"] in (40, 41)
    test_key.post(f"/runs/{run['id']}/cancel")
    assert show(test_key, run["id"])["active_seconds"] in (40, 41)


def test_T_049_newest_first_without_child_runs(test_key: Api, live: Api, strangers: Cast) -> None:
    first, second, parent = (begin(test_key)["id"] for _ in range(3))
    children = []
    for _ in range(2):
        child = begin(test_key)["id"]
        Run.objects.filter(id=child).update(parent_id=parent, root_id=parent)
        children.append(child)
    Run.objects.filter(id=parent).update(kind="workflow")
    begin(live, machine_id=simulated(live))
    begin(strangers.api(test=True))
    listed = test_key.get("/runs").json()["data"]
    assert [r["id"] for r in listed] == [parent, second, first]
    assert [r["object"] for r in listed] == ["workflow.run", "agent.run", "agent.run"]
    assert [r["id"] for r in test_key.get(f"/runs?parent_id={parent}").json()["data"]] == children
    assert show(test_key, children[0])["parent_id"] == parent
    assert test_key.get("/runs?parent_id=run_nowhere").json()["error"]["code"] == "RUN_NOT_FOUND"
    assert [r["id"] for r in test_key.get("/runs?kind=workflow").json()["data"]] == [parent]
    assert [r["id"] for r in test_key.get("/runs?kind=agent").json()["data"]] == [second, first]


def test_filters(test_key: Api) -> None:
    machine = simulated(test_key)
    done = ended(test_key, end_user="zoe")
    held = begin(test_key, machine_id=machine)

    def found(query: str) -> list[Any]:
        return [r["id"] for r in test_key.get(f"/runs?{query}").json()["data"]]

    assert found("status=queued") == found("state=queued") == [held["id"]]
    assert found("status=queued,succeeded") == [held["id"], done["id"]]
    assert found(f"machine_id={machine}") == [held["id"]]
    assert found("end_user=zoe") == [done["id"]]
    bad = test_key.get("/runs?status=zombie")
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "INVALID_STATUS_FILTER")
    assert len(bad.json()["error"]["valid_options"]) == 7
    assert test_key.get("/runs?kind=zombie").json()["error"]["code"] == "INVALID_FILTER"


def test_pages_neither_repeat_nor_hide(test_key: Api) -> None:
    ids = [begin(test_key)["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = test_key.get(f"/runs?limit=2{cursor}").json()
        seen += [r["id"] for r in page["data"]]
        begin(test_key)  # created while paging
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert [i for i in seen if i in ids] == ids[::-1]
    assert len(seen) == len(set(seen)) == 5


def test_pictures_before_and_after_every_step(test_key: Api) -> None:
    run = ended(test_key)
    rows = test_key.get(f"/runs/{run['id']}/screenshots").json()["data"]
    assert [(r["index"], r["step"], r["phase"]) for r in rows] == [
        (0, 1, "before"), (1, 1, "after"), (2, 2, "before"), (3, 2, "after"), (4, 3, "before"), (5, 3, "after")
    ]  # fmt: skip
    part = test_key.get(f"/runs/{run['id']}/screenshots?after_index=2&limit=2").json()
    assert ([r["index"] for r in part["data"]], part["has_more"]) == ([3, 4], True)
    rest = test_key.get(f"/runs/{run['id']}/screenshots?after_index=2&limit=2&cursor={part['next_cursor']}").json()
    assert ([r["index"] for r in rest["data"]], rest["has_more"], rest["next_cursor"]) == ([5], False, None)
    picture = test_key.get(f"/runs/{run['id']}/screenshots/0")
    assert (picture["Content-Type"], picture["Cache-Control"], picture.content[:4]) == (
        "image/png",
        "no-store",
        b"\x89PNG",
    )
    for odd in ("6", "x", "99999999999999", "-1"):
        assert test_key.get(f"/runs/{run['id']}/screenshots/{odd}").status_code == 404


def test_runs_of_others_are_not_there(test_key: Api, live: Api, strangers: Cast) -> None:
    run = begin(test_key)["id"]
    for api in (live, strangers.api(test=True)):
        for answer in (
            api.get(f"/runs/{run}"), api.post(f"/runs/{run}/cancel", b"{broken"), api.post(f"/runs/{run}/resume"),
            api.get(f"/runs/{run}/screenshots"),
        ):  # fmt: skip
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "RUN_NOT_FOUND")


def test_both_prefixes_are_the_same_routes(test_key: Api, cast: Cast) -> None:
    reader = cast.api(test=True, scopes=frozenset({"workflows:read", "approvals:read"}))
    run = waiting(test_key, "x [pause] [question]")["id"]
    for path in ("", "/events?format=json", "/events/stream?format=json", "/screenshots", "/screenshots/0",
                 "/deliveries", "/permissions"):  # fmt: skip
        one, other = test_key.get(f"/runs/{run}{path}"), reader.get(f"/workflows/runs/{run}{path}")
        own = other["X-Request-Id"].encode(), one["X-Request-Id"].encode()
        assert (other.status_code, other.content.replace(*own)) == (200, one.content)
    approval = show(test_key, run)["open_approvals"][0]
    calls: list[tuple[str, Any]] = [
        ("approve", {"request_id": approval, "decision": "allow"}), ("answer", {"answers": {"q1": "Sales"}}),
    ]  # fmt: skip
    for call, body in calls:
        answer = test_key.post(f"/workflows/runs/{run}/{call}", body)
        assert answer.status_code == 200, answer.content
        drive_all()
    second = f"/workflows/runs/{waiting(test_key, human_in_the_loop=True)['id']}"
    assert test_key.post(f"{second}/signal", {"action": "approve"}).json()["resumed"] is True
    mode = test_key.patch(f"{second}/permission-mode", {"permission_mode": "approval"})
    assert mode.json()["permission_mode"] == "approval"
    writer = cast.api(test=True, scopes=frozenset({"workflows:write"}))
    assert writer.post(f"{second}/cancel").json()["status"] == "cancelled"
    assert test_key.get("/workflows/runs/run_none").json()["error"]["code"] == "RUN_NOT_FOUND"
