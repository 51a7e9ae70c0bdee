"""Two worlds, and teams that are strangers: what is not yours does not exist (docs/api/README.md section 2)."""

from typing import Any

import pytest

from machines.models import Machine
from tests.cast import Api, Cast
from tests.conventions.conftest import refused
from tests.runs.driving import drive_all

pytestmark = pytest.mark.django_db


def without_ids(body: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in body["error"].items() if k != "request_id"}


def test_T_008_another_world_and_another_team_answer_like_an_id_that_never_existed(
    live: Api, test_key: Api, strangers: Cast, run_id: str
) -> None:
    never = without_ids(live.get("/runs/run_none").json())
    for foreigner in (live, strangers.api(), strangers.api(test=True)):
        for method, path in (
            ("GET", ""), ("POST", "/cancel"), ("POST", "/resume"), ("GET", "/events"), ("GET", "/events/stream"),
            ("GET", "/screenshots"), ("GET", "/screenshots/0"),
        ):  # fmt: skip
            answer = foreigner.request(method, f"/runs/{run_id}{path}")
            assert without_ids({"error": refused(answer, 404, "RUN_NOT_FOUND")}) == never
    assert test_key.get(f"/runs/{run_id}").json()["status"] == "queued"


def test_a_live_run_is_no_test_run(live: Api, test_key: Api, cast: Cast) -> None:
    machine = live.post("/machines", {"display_name": "m", "kind": "simulated"}).json()["id"]
    run = live.post("/runs", {"task": "x", "machine_id": machine}).json()["id"]
    refused(test_key.get(f"/runs/{run}"), 404, "RUN_NOT_FOUND")
    refused(test_key.get(f"/machines/{machine}"), 404, "MACHINE_NOT_FOUND")
    assert test_key.get("/runs").json()["data"] == []
    assert test_key.get("/machines").json()["data"] == []


def test_approvals_and_records_stay_in_their_world(live: Api, test_key: Api, strangers: Cast) -> None:
    run = test_key.post("/runs", {"task": "x [pause]"}, Idempotency_Key="mine").json()["id"]
    drive_all()
    (approval,) = test_key.get(f"/runs/{run}").json()["open_approvals"]
    for foreigner in (live, strangers.api(), strangers.api(test=True)):
        refused(foreigner.get(f"/approvals/{approval}"), 404, "APPROVAL_NOT_FOUND")
        refused(foreigner.post(f"/approvals/{approval}/decide", {"verdict": "approve"}), 404, "APPROVAL_NOT_FOUND")
        assert foreigner.get("/approvals?status=all").json()["data"] == []
        assert foreigner.get(f"/approvals?run_id={run}").json()["summary"]["pending"] == 0
        refused(foreigner.get("/idempotency/mine"), 404, "NOT_FOUND")


def test_a_run_on_the_machine_of_strangers_is_404(live: Api, strangers: Cast) -> None:
    theirs = strangers.api().post("/machines", {"display_name": "m", "kind": "simulated"}).json()["id"]
    refused(live.post("/runs", {"task": "x", "machine_id": theirs}), 404, "MACHINE_NOT_FOUND")
    assert Machine.objects.get(id=theirs).current_run_id is None
