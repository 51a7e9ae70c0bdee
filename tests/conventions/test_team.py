"""Team settings: GET and PATCH /v1/team (docs/api/README.md section 10)."""

from typing import Any

import pytest

from accounts.models import AuditEntry, Team
from tests.cast import Api, Cast
from tests.conventions.conftest import locs, refused
from tests.runs.driving import drive_all, simulated

pytestmark = pytest.mark.django_db

DEFAULTS = {
    "default_machine_id": None, "default_agent": "playbook", "forbid_self_approval": "four_eyes",
    "undo_window_seconds": 0,
    "screen_check": False, "screen_check_threshold": 0.05, "risk_floor": ["spend", "access", "destroy"],
    "risk_floor_modes": ["approval", "plan"],
    "usage_for_all": False,
    "remember_days": 30,
    "claim_minutes": 10, "hot_window_seconds": 75, "plan_max_revisions": 10, "max_active_runs": 1000,
    "budget_cents_month": 0,
    "event_retention_days": 90,
}  # fmt: skip
BOUNDS = {
    "undo_window_seconds": (0, 60), "remember_days": (1, 3650), "claim_minutes": (1, 120), "hot_window_seconds": (0,
    600),
    "plan_max_revisions": (1, 50), "max_active_runs": (1, 10_000), "budget_cents_month": (0, 100_000_000),
    "event_retention_days": (1, 3650),
}  # fmt: skip


def test_a_new_team_has_the_defaults(live: Api, cast: Cast) -> None:
    assert live.get("/team").json() == DEFAULTS | {"id": cast.team.id, "object": "team", "name": "Acme"}


def test_a_patch_changes_what_it_names_and_nothing_else(live: Api, test_key: Api) -> None:
    body = live.patch("/team", {"claim_minutes": 5, "risk_floor": ["write", "spend", "write"]}).json()
    assert {k: v for k, v in body.items() if v != DEFAULTS.get(k)}.keys() == {
        "id",
        "object",
        "name",
        "claim_minutes",
        "risk_floor",
    }
    assert (body["claim_minutes"], body["risk_floor"]) == (5, ["write", "spend"])
    assert test_key.get("/team").json() == body  # settings are the team's, not a world's


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"claim_minutes": null}', b'{"screen_check": null, "risk_floor": null}'])
def test_a_patch_without_any_field_is_400(live: Api, raw: bytes) -> None:
    assert refused(live.patch("/team", raw), 400, "EMPTY_UPDATE")["type"] == "validation_error"


def test_null_empties_what_may_be_empty(live: Api) -> None:
    live.patch("/team", {"default_machine_id": simulated(live), "default_agent": "scripted"})
    body = live.patch(
        "/team", {"default_machine_id": None, "default_agent": None, "remember_days": None, "claim_minutes": 7}
    ).json()
    assert [body[n] for n in ("default_machine_id", "default_agent", "remember_days", "claim_minutes")] == [
        None,
        "playbook",
        None,
        7,
    ]


def test_the_bounds_of_every_number(live: Api) -> None:
    for name, (least, most) in BOUNDS.items():
        for value in (least, most, float(most)):
            assert live.patch("/team", {name: value}).json()[name] == value
        for wrong in (least - 1, most + 1, least + 0.5, str(least), True, [], 1e300):
            assert locs(live.patch("/team", {name: wrong})) == [["body", name]], (name, wrong)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("screen_check", [True, False], [1, 0, "true", []]),
        ("usage_for_all", [True, False], [1, 0, "true", []]),
        ("screen_check_threshold", [0, 1, 0.5], [-0.01, 1.01, "0.5", True]),
        ("forbid_self_approval", ["never", "four_eyes", "always"], ["", "sometimes", True, 1]),
        (
            "risk_floor",
            [[], ["read"], ["read", "write", "spend", "access", "destroy"]],
            ["spend", ["spent"], [1], {"a": 1}],
        ),
        (
            "risk_floor_modes",
            [[], ["autonomous"], ["autonomous", "approval", "plan"]],
            ["plan", ["always"], [1], {"a": 1}],
        ),
        ("default_machine_id", [], [5, True, ["mch_1"], "a\0"]),
        ("default_agent", ["scripted", "playbook"], ["", "x" * 65, 5, "nobody", "Scripted", "a\0"]),
    ],
)
def test_the_values_of_every_other_setting(live: Api, name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert live.patch("/team", {name: value}).json()[name] == value
    for value in bad:
        assert {tuple(loc[:2]) for loc in locs(live.patch("/team", {name: value}))} == {("body", name)}


def test_unknown_fields_and_fixed_ones_are_422_all_together(live: Api) -> None:
    found = locs(live.patch("/team", {"colour": None, "name": "x", "id": "tm_1", "claim_minutes": 0}))
    assert sorted(found) == [["body", "claim_minutes"], ["body", "colour"], ["body", "id"], ["body", "name"]]
    assert live.get("/team").json()["claim_minutes"] == 10


def test_a_change_is_audited_with_what_it_was_before(live: Api, cast: Cast) -> None:
    live.patch("/team", {"claim_minutes": 5})
    entry = AuditEntry.objects.get(team=cast.team, verb="team.updated")
    assert entry.data == {"before": {"claim_minutes": 10}, "after": {"claim_minutes": 5}}


def test_each_team_has_its_own(live: Api, strangers: Cast) -> None:
    live.patch("/team", {"claim_minutes": 5})
    assert strangers.api().get("/team").json()["claim_minutes"] == 10


def test_a_change_holds_for_the_next_request(live: Api, test_key: Api) -> None:
    live.patch("/team", {"max_active_runs": 1})
    run = test_key.post("/runs", {"task": "x"}).json()["id"]
    answer = test_key.post("/runs", {"task": "x"})
    error = refused(answer, 429, "TOO_MANY_RUNS")
    assert answer["Retry-After"] == str(error["retry_after"])
    drive_all()
    assert test_key.get(f"/runs/{run}").json()["status"] == "succeeded"
    assert test_key.post("/runs", {"task": "x"}).status_code == 200


def test_the_default_machine_is_used_when_a_live_run_names_none(live: Api) -> None:
    assert locs(live.post("/runs", {"task": "x"})) == [["body", "machine_id"]]
    machine = live.post("/machines", {"display_name": "m", "kind": "simulated"}).json()["id"]
    live.patch("/team", {"default_machine_id": machine, "default_agent": "scripted"})
    run = live.post("/runs", {"task": "x"}).json()
    assert (run["machine_id"], run["agent"]) == (machine, "scripted")
    Team.objects.update(default_machine_id="mch_gone")
    refused(live.post("/runs", {"task": "x"}), 404, "MACHINE_NOT_FOUND")


def test_the_default_machine_is_one_that_live_runs_of_the_team_can_have(
    live: Api, test_key: Api, strangers: Cast, cast: Cast
) -> None:
    mine, theirs, tests = simulated(live), simulated(strangers.api()), simulated(test_key)
    assert live.patch("/team", {"default_machine_id": mine}).json()["default_machine_id"] == mine
    test_admin = cast.api(test=True, scopes=frozenset({"team:read", "team:write"}))
    for machine in ("mch_none", "x" * 400, "", "../x", theirs, tests):
        body = {"default_machine_id": machine, "claim_minutes": 7}
        refused(live.patch("/team", body), 404, "MACHINE_NOT_FOUND")
    for machine in (mine, tests):  # no machine of the one world is anything in the other
        refused(test_admin.patch("/team", {"default_machine_id": machine}), 404, "MACHINE_NOT_FOUND")
    assert (live.get("/team").json() | {"id": 0}) == DEFAULTS | {
        "id": 0, "object": "team", "name": "Acme", "default_machine_id": mine
    }  # fmt: skip
    assert AuditEntry.objects.filter(verb="team.updated").count() == 1


def test_a_machine_that_ends_is_no_default(live: Api) -> None:
    machine = simulated(live)
    live.post(f"/machines/{machine}/terminate")
    error = refused(live.patch("/team", {"default_machine_id": machine}), 409, "INVALID_STATE")
    assert error["current_state"] == "terminated"


def test_a_body_is_read_before_its_machine_is_looked_up(live: Api) -> None:
    assert locs(live.patch("/team", {"default_machine_id": "mch_none", "claim_minutes": 0})) == [
        ["body", "claim_minutes"]
    ]


def test_a_default_agent_that_may_not_work_is_422_when_a_run_wants_it(live: Api, settings: Any) -> None:
    body = {"task": "x", "machine_id": simulated(live)}
    Team.objects.update(default_agent="nobody")
    assert locs(live.post("/runs", body)) == [["body", "agent"]]
    assert live.post("/runs", body | {"agent": "playbook"}).status_code == 200
    settings.ALLOW_SCRIPTED_LIVE = False
    live.patch("/team", {"default_agent": "scripted"})
    assert locs(live.post("/runs", body)) == [["body", "agent"]]
