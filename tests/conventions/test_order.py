"""Which refusal comes first (docs/api/README.md section 5)."""

import pytest

from tests.cast import Api, Cast
from tests.conventions.conftest import locs, only, refused
from tests.runs.driving import drive_all

pytestmark = pytest.mark.django_db
BAD_KEY = "not a key"


def test_authentication_comes_before_the_route(live: Api) -> None:
    refused(Api("cs_live_wrong", live.client).get("/no/such/thing"), 401, "INVALID_API_KEY")


def test_the_route_comes_before_the_scope(cast: Cast) -> None:
    refused(only(cast).get("/no/such/thing"), 404, "NOT_FOUND")
    refused(only(cast).delete("/runs"), 405, "METHOD_NOT_ALLOWED")


def test_the_scope_comes_before_the_resource(cast: Cast) -> None:
    refused(only(cast, "runs:read").post("/runs/run_none/cancel", b"{"), 403, "INSUFFICIENT_SCOPE")


def test_T_017_a_malformed_body_on_a_missing_run_is_404(test_key: Api) -> None:
    for body in (b"{", {"colour": 1}, []):
        for call in ("cancel", "resume"):
            refused(test_key.post(f"/runs/run_none/{call}", body), 404, "RUN_NOT_FOUND")


def test_T_017_a_malformed_body_on_a_run_in_the_wrong_state_is_422(test_key: Api, run_id: str) -> None:
    test_key.post(f"/runs/{run_id}/cancel")
    for call in ("cancel", "resume"):
        assert locs(test_key.post(f"/runs/{run_id}/{call}", {"colour": 1})) == [["body", "colour"]]


def test_the_body_comes_before_the_idempotency_key(test_key: Api) -> None:
    assert locs(test_key.post("/runs", {"task": "x", "colour": 1}, Idempotency_Key=BAD_KEY)) == [["body", "colour"]]


def test_the_idempotency_key_comes_before_the_state(test_key: Api, run_id: str) -> None:
    test_key.post(f"/runs/{run_id}/cancel")
    found = locs(test_key.post(f"/runs/{run_id}/cancel", {}, Idempotency_Key=BAD_KEY))
    assert found == [["header", "Idempotency-Key"]]
    assert refused(test_key.post(f"/runs/{run_id}/cancel", {}), 409, "INVALID_STATE")["current_state"] == "cancelled"


def test_a_replay_comes_before_the_state(test_key: Api) -> None:
    run = test_key.post("/runs", {"task": "x [pause]"}).json()["id"]
    drive_all()
    first = test_key.post(f"/runs/{run}/resume", {}, Idempotency_Key="once")
    drive_all()
    assert test_key.get(f"/runs/{run}").json()["status"] == "succeeded"
    again = test_key.post(f"/runs/{run}/resume", {}, Idempotency_Key="once")
    assert (again.status_code, again.content, again["Idempotency-Replayed"]) == (200, first.content, "true")
    refused(test_key.post(f"/runs/{run}/resume", {}, Idempotency_Key="other"), 409, "RESUME_CONFLICT")


def test_the_query_comes_before_the_effect_and_money_last(cast: Cast) -> None:
    poor = cast.api()
    machine = poor.post("/machines", {"display_name": "m", "kind": "simulated"}).json()["id"]
    cast.team.wallet.__class__.objects.update(available_cents=4)
    body = {"task": "x", "machine_id": machine}
    assert locs(poor.post("/runs", body | {"colour": 1})) == [["body", "colour"]]
    refused(poor.post("/runs", body | {"machine_id": "mch_none"}), 404, "MACHINE_NOT_FOUND")
    error = refused(poor.post("/runs", body), 402, "INSUFFICIENT_CREDITS")
    assert (error["required"], error["balance"], error["type"]) == (5, 4, "billing_error")
