"""Making, reading, changing and ending machines over HTTP."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import AuditEntry, Team
from billing.errors import InsufficientCredits
from machines.models import Machine
from tests.machines.conftest import Caller, queued

KEYS = {
    "id", "object", "display_name", "kind", "os", "isolation", "status", "is_default", "cpu_cores", "memory_gb", "screen_width",
    "screen_height", "is_test", "current_run_id", "takeover", "ttl_minutes", "auto_destroy_at", "cents_per_hour",
    "metadata", "created_at", "started_at", "terminated_at",
}  # fmt: skip


def refuse(actor: Any) -> None:
    raise InsufficientCredits(required=20, balance=19)


def test_a_machine_of_a_test_key_keeps_its_kind_and_runs_at_once(test_world: Caller) -> None:
    made = test_world.machine(kind="browser", metadata={"owner": "me"})
    assert made.keys() >= KEYS | {"machine", "connection", "request_id"}
    assert (made["kind"], made["status"], made["is_test"]) == ("browser", "running", True)
    assert (made["connection"], made["metadata"]) == (None, {"owner": "me"})
    assert made["machine"].keys() >= KEYS
    assert made["started_at"] is not None
    assert queued() == []


def test_defaults_of_a_machine(test_world: Caller) -> None:
    made = test_world.machine()
    shown = {name: made[name] for name in ("kind", "os", "cpu_cores", "memory_gb", "screen_width", "screen_height")}
    assert shown == {
        "kind": "desktop", "os": "linux", "cpu_cores": 2, "memory_gb": 4, "screen_width": 1280, "screen_height": 800
    }  # fmt: skip
    assert made["ttl_minutes"] is None
    assert made["auto_destroy_at"] is None


def test_a_live_machine_is_creating_until_a_worker_started_it(live: Caller) -> None:
    made = live.machine(kind="terminal")
    assert made["status"] == "creating"
    assert made["cents_per_hour"] == 0
    assert queued() == [("machines.tasks.start", (made["id"],))]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["body", "display_name"]),
        ({"display_name": ""}, ["body", "display_name"]),
        ({"display_name": "x" * 65}, ["body", "display_name"]),
        ({"display_name": "x", "kind": "phone"}, ["body", "kind"]),
        ({"display_name": "x", "kind": "desktop"}, ["body", "kind"]),
        ({"display_name": "x", "kind": "terminal", "os": "windows"}, ["body", "os"]),
        ({"display_name": "x", "kind": "desktop", "os": "windows"}, ["body", "kind"]),
        ({"display_name": "x", "cpu_cores": True}, ["body", "cpu_cores"]),
        ({"display_name": "x", "memory_gb": 65}, ["body", "memory_gb"]),
        ({"display_name": "x", "screen_width": 319}, ["body", "screen_width"]),
        ({"display_name": "x", "ttl_minutes": 4}, ["body", "ttl_minutes"]),
        ({"display_name": "x", "ttl_minutes": 0}, ["body", "ttl_minutes"]),
        ({"display_name": "x", "metadata": {str(i): "" for i in range(17)}}, ["body", "metadata"]),
        ({"display_name": "x", "metadata": {"a": 1}}, ["body", "metadata", "a"]),
        ({"display_name": "x", "colour": "red"}, ["body", "colour"]),
    ],
)
def test_what_a_create_body_may_not_hold(live: Caller, body: dict[str, Any], loc: list[str]) -> None:
    answer = live.post("/machines", body)
    assert answer.status_code == 422, answer.json()
    assert [d["loc"] for d in answer.json()["error"]["details"]] == [loc]
    assert not Machine.objects.exists()


def test_live_keys_get_simulated_machines_only_where_scripted_live_is_allowed(live: Caller, settings: Any) -> None:
    settings.ALLOW_SCRIPTED_LIVE = True
    assert live.machine(kind="simulated")["status"] == "running"
    settings.ALLOW_SCRIPTED_LIVE = False
    answer = live.post("/machines", {"display_name": "x", "kind": "simulated"})
    assert answer.status_code == 422
    assert "terminal" in answer.json()["error"]["details"][0]["msg"]


def test_the_gate_refuses_before_anything_is_made(live: Caller, test_world: Caller, settings: Any) -> None:
    settings.MACHINE_GATE = f"{__name__}.refuse"
    answer = live.post("/machines", {"display_name": "x", "kind": "terminal"})
    assert answer.status_code == 402
    assert (answer.json()["error"]["required"], answer.json()["error"]["balance"]) == (20, 19)
    assert not Machine.objects.exists()
    assert test_world.machine()["status"] == "running"


def test_a_repeated_create_makes_one_machine(test_world: Caller) -> None:
    first, second = (test_world.post("/machines", {"display_name": "x"}, **{"Idempotency-Key": "a"}) for _ in "12")
    assert first.content == second.content
    assert second["Idempotency-Replayed"] == "true"
    assert Machine.objects.count() == 1


def test_lists_are_oldest_first_with_filters(test_world: Caller, live: Caller) -> None:
    ids = [test_world.machine(kind=kind)["id"] for kind in ("browser", "terminal", "desktop")]
    live.machine(kind="terminal")
    test_world.post(f"/machines/{ids[0]}/stop")
    listed = test_world.get("/machines").json()
    assert [m["id"] for m in listed["data"]] == ids
    assert (listed["object"], listed["has_more"], listed["next_cursor"]) == ("list", False, None)
    assert [m["id"] for m in test_world.get("/machines?status=running,error").json()["data"]] == ids[1:]
    assert [m["id"] for m in test_world.get("/machines?kind=browser").json()["data"]] == ids[:1]
    first = test_world.get("/machines?limit=2").json()
    second = test_world.get(f"/machines?limit=2&cursor={first['next_cursor']}").json()
    assert [m["id"] for m in first["data"] + second["data"]] == ids


def test_a_list_holds_fifty_unless_told_otherwise(test_world: Caller) -> None:
    first = Machine.objects.get(id=test_world.machine()["id"])
    for number in range(50):
        Machine.objects.create(
            team=first.team, test=True, display_name=str(number), kind="simulated", created_by=first.created_by
        )
    listed = test_world.get("/machines").json()
    assert (len(listed["data"]), listed["has_more"], listed["data"][0]["id"]) == (50, True, first.id)


def test_T_009_limits_of_lists(test_world: Caller) -> None:
    for limit in ("0", "201", "abc"):
        error = test_world.get(f"/machines?limit={limit}").json()["error"]
        assert (error["code"], error["min"], error["max"]) == ("INVALID_LIMIT", 1, 200)


def test_T_010_unknown_filters_name_the_known_words(test_world: Caller) -> None:
    answer = test_world.get("/machines?status=zombie")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "INVALID_STATUS_FILTER")
    assert "running" in answer.json()["error"]["valid_options"]
    error = test_world.get("/machines?kind=phone").json()["error"]
    assert (error["code"], error["parameter"]) == ("INVALID_FILTER", "kind")


def test_T_011_both_spellings_of_a_path_answer(test_world: Caller) -> None:
    assert test_world.post("/machines/", {"display_name": "x"}).status_code == 200
    assert test_world.get("/machines/").status_code == 200


@pytest.mark.parametrize("odd", ["x", "mch_" + "a" * 500, "%00", "%F0%9F%98%80", "..%2e", "'--", "mch_%0a"])
def test_T_012_an_odd_id_is_not_found(test_world: Caller, odd: str) -> None:
    for method, path, body in CALLS:
        answer = test_world.call(method, path.format(id=odd), {"bad": 1} if body is not None else None)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "MACHINE_NOT_FOUND"), path


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/machines/{id}", None),
    ("PATCH", "/machines/{id}", {"ttl_minutes": 5}),
    ("POST", "/machines/{id}/start", {}),
    ("POST", "/machines/{id}/stop", {}),
    ("POST", "/machines/{id}/terminate", {}),
    ("DELETE", "/machines/{id}", None),
    ("GET", "/machines/{id}/screenshot", None),
    ("POST", "/machines/{id}/actions", {"command": "screenshot"}),
    ("POST", "/machines/{id}/actions/batch", {"steps": [{"command": "screenshot"}]}),
    ("POST", "/machines/{id}/terminal", {"command": "true"}),
]


def test_another_team_and_the_other_world_see_nothing(
    test_world: Caller, live: Caller, caller: Callable[..., Caller]
) -> None:
    made = test_world.machine()
    stranger = caller(test=True, team=Team.objects.create(slug="strangers", name="Strangers"))
    for other in (live, stranger):
        assert other.get("/machines").json()["data"] == []
        for method, path, body in CALLS:
            answer = other.call(method, path.format(id=made["id"]), body)
            assert answer.json()["error"]["code"] == "MACHINE_NOT_FOUND", path
    assert Machine.objects.get().status == "running"


READ, WRITE, ACT, SHELL = (
    {"viewer", "approver", "operator", "admin"}, {"operator", "admin"}, {"operator", "admin"},
    {"operator", "admin"},
)  # fmt: skip
RIGHTS = [
    ("GET", "/machines", None, READ, "machines:read"),
    ("POST", "/machines", {"display_name": "x"}, WRITE, "machines:write"),
    *(
        (*call, may, scope)
        for call, (may, scope) in zip(
            CALLS,
            [(READ, "machines:read"), *[(WRITE, "machines:write")] * 5, (READ, "machines:read"),
             (ACT, "actions:exec"), (ACT, "actions:exec"), (SHELL, "terminal:exec")],
            strict=True,
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "may", "scope"), RIGHTS)
def test_who_may_do_what(
    caller: Callable[..., Caller], method: str, path: str, body: Any, may: set[str], scope: str
) -> None:
    for role in ("viewer", "approver", "operator", "admin"):
        made = caller(test=True).machine(kind="terminal")
        answer = caller(role, test=True).call(method, path.format(id=made["id"]), body)
        if role in may:
            assert answer.status_code in {200, 409}, role
        else:
            assert (answer.status_code, answer.json()["error"]["required_scope"]) == (403, scope), role


def test_T_173_a_terminated_machine_stays_readable_and_cannot_be_changed(test_world: Caller) -> None:
    made = test_world.machine()
    path = f"/machines/{made['id']}"
    ended = test_world.post(f"{path}/terminate").json()
    assert (ended["machine_id"], ended["status"]) == (made["id"], "terminated")
    assert ended["message"]
    for method, again in (("POST", "/terminate"), ("DELETE", ""), ("POST", "/start"), ("POST", "/stop")):
        answer = test_world.call(method, path + again)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "INVALID_STATE")
        assert answer.json()["error"]["current_state"] == "terminated"
    shown = test_world.get(path)
    assert shown.status_code == 200
    assert shown.json()["terminated_at"] is not None
    assert shown.json()["machine"] == {k: v for k, v in shown.json().items() if k not in {"machine", "request_id"}}


def test_T_173_ttl_can_be_set_and_cleared(test_world: Caller) -> None:
    path = f"/machines/{test_world.machine(ttl_minutes=5)['id']}"
    assert test_world.get(path).json()["auto_destroy_at"] is not None
    answer = test_world.patch(path, {"ttl_minutes": 60}).json()
    assert (answer["ttl_minutes"], answer["status"]) == (60, "running")
    assert answer["auto_destroy_at"] is not None
    cleared = test_world.patch(path, {"ttl_minutes": 0}).json()
    assert (cleared["ttl_minutes"], cleared["auto_destroy_at"]) == (None, None)
    for body in ({"ttl_minutes": 3}, {}, {"ttl_minutes": None}, {"ttl_minutes": "9"}, {"ttl_minutes": 10_081}):
        refused = test_world.patch(path, body)
        assert refused.status_code == 422, body
        assert refused.json()["error"]["details"][0]["loc"] == ["body", "ttl_minutes"]
    assert test_world.patch(path, {}).json()["error"]["details"][0]["type"] == "missing"


def test_stop_and_start_keep_to_their_states(test_world: Caller) -> None:
    path = f"/machines/{test_world.machine()['id']}"
    assert test_world.post(f"{path}/start").json()["error"]["allowed_from"] == ["stopped", "suspended"]
    assert test_world.post(f"{path}/stop").json()["status"] == "stopped"
    assert test_world.get(path).json()["cents_per_hour"] == 1
    assert test_world.post(f"{path}/stop").json()["error"]["allowed_from"] == ["running"]
    assert test_world.post(f"{path}/start").json()["status"] == "running"
    assert test_world.get(path).json()["cents_per_hour"] == 5


def test_a_machine_that_a_run_drives_is_not_stopped_but_may_be_terminated(test_world: Caller, heard: Any) -> None:
    made = test_world.machine()
    Machine.objects.filter(id=made["id"]).update(current_run_id="run_1")
    answer = test_world.post(f"/machines/{made['id']}/stop")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "MACHINE_BUSY")
    assert answer.json()["error"]["run_id"] == "run_1"
    assert test_world.delete(f"/machines/{made['id']}").status_code == 200
    assert heard()[-1] == ("machine.gone", (made["id"], "run_1"))


def test_every_change_is_in_the_audit(test_world: Caller) -> None:
    made = test_world.machine()
    test_world.post(f"/machines/{made['id']}/stop")
    test_world.patch(f"/machines/{made['id']}", {"ttl_minutes": 5})
    verbs = list(AuditEntry.objects.filter(subject=made["id"]).order_by("id").values_list("verb", flat=True))
    assert verbs == ["machine.created", "machine.running", "machine.stopping", "machine.stopped", "machine.ttl"]
