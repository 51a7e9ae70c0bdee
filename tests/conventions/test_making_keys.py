"""POST, GET and DELETE /v1/keys: shown once, at most one's own scopes (docs/api/README.md section 3)."""

from typing import Any

import pytest

from accounts.actor import SCOPES
from accounts.models import ApiKey
from tests.cast import Api, Cast
from tests.conventions.conftest import locs, only, refused, row_of

pytestmark = pytest.mark.django_db

CONTRACT_DEFAULT = {
    "predict", "session", "ground", "parse", "runs:read", "runs:write", "workflows:read", "workflows:write",
    "approvals:read", "approvals:request", "machines:read", "actions:exec",
}  # fmt: skip
CONTRACT_SCOPES = CONTRACT_DEFAULT | {
    "approvals:decide", "policies:write",
    "machines:write", "terminal:exec", "connection:read", "webhooks:read", "webhooks:write", "secrets:write",
    "usage",
    "keys", "team:read", "team:write",
}  # fmt: skip


def made(api: Api, **body: Any) -> dict[str, Any]:
    answer = api.post("/keys", {"name": "n"} | body)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_scopes_are_those_of_the_contract() -> None:
    assert set(SCOPES) == CONTRACT_SCOPES


def test_a_new_key_works_in_the_world_of_its_maker(live: Api, test_key: Api) -> None:
    for maker, kind in ((live, "live"), (test_key, "test")):
        answer = maker.post("/keys", {"name": "robot"})
        body = answer.json()
        assert body["key"].startswith(f"cs_{kind}_")
        assert (body["kind"], body["name"], body["key_prefix"]) == (kind, "robot", body["key"][:16])
        assert answer["Cache-Control"] == "no-store"
        assert Api(body["key"], maker.client).get("/runs")["X-Key-Kind"] == kind


def test_T_016_a_new_live_key_may_not_decide(live: Api) -> None:
    body = made(live)
    assert set(body["scopes"]) == CONTRACT_DEFAULT
    key = Api(body["key"], live.client)
    run = key.post("/runs", {"task": "x", "agent": "scripted", "machine_id": "mch_none"})
    assert run.status_code == 404  # it may start runs, on machines that exist
    error = refused(key.post("/runs/run_none/resume", {}), 403, "INSUFFICIENT_SCOPE")
    assert error["required_scope"] == "approvals:decide"
    assert set(error["current_scopes"]) == CONTRACT_DEFAULT


def test_a_new_test_key_has_all_but_keys_and_team_write(test_key: Api) -> None:
    assert set(made(test_key)["scopes"]) == CONTRACT_SCOPES - {"keys", "team:write"}


def test_a_family_means_each_of_its_scopes(live: Api) -> None:
    assert made(live, scopes=["approvals:*"])["scopes"] == ["approvals:decide", "approvals:read", "approvals:request"]
    assert set(made(live, scopes=["runs:*", "usage", "runs:read"])["scopes"]) == {"runs:read", "runs:write", "usage"}


def test_an_unknown_scope_is_422_at_its_place(live: Api) -> None:
    for scope in ("runs:delete", "*", ":*", "nothing:*", "", "RUNS:READ"):
        assert locs(live.post("/keys", {"name": "n", "scopes": ["runs:read", scope]})) == [["body", "scopes", 1]]


def test_T_015_a_key_cannot_make_one_with_a_scope_it_lacks(cast: Cast) -> None:
    maker = only(cast, "keys", "runs:read", "approvals:read")
    for wanted in (["approvals:decide"], ["approvals:*"], ["runs:read", "approvals:decide"]):
        error = refused(maker.post("/keys", {"name": "n", "scopes": wanted}), 403, "SCOPE_ESCALATION")
        assert error["required_scope"] == "approvals:decide"
        assert set(error["current_scopes"]) == {"keys", "runs:read", "approvals:read"}
    assert ApiKey.objects.count() == 1
    assert made(maker, scopes=["runs:read"])["scopes"] == ["runs:read"]
    assert made(maker)["scopes"] == ["approvals:read", "runs:read"]  # the defaults it has itself


def test_lists_of_keys_hold_no_key_and_only_this_world(live: Api, test_key: Api, strangers: Cast) -> None:
    strangers.api()
    body = made(live)
    listed = live.get("/keys").json()
    assert [k["key_id"] for k in listed["data"]] == [body["key_id"], row_of(live).id]
    assert body["key"] not in str(listed)
    assert "hash" not in str(listed)
    assert len(test_key.get("/keys").json()["data"]) == 1


def test_revoking_is_effective_at_once_and_only_inside_the_world(live: Api, test_key: Api, strangers: Cast) -> None:
    body = made(live)
    for foreigner in (test_key, strangers.api()):
        refused(foreigner.delete(f"/keys/{body['key_id']}"), 404, "KEY_NOT_FOUND")
    for _ in range(2):
        assert live.delete(f"/keys/{body['key_id']}").json() == {"status": "ok", "key_id": body["key_id"]}
    refused(Api(body["key"], live.client).get("/runs"), 401, "INVALID_API_KEY")


def test_at_most_20_keys_are_active(live: Api) -> None:
    for _ in range(19):
        made(live)
    assert locs(live.post("/keys", {"name": "n"})) == [["body"]]
    live.delete(f"/keys/{live.get('/keys').json()['data'][0]['key_id']}")
    made(live)


def test_an_expired_key_is_not_active(live: Api) -> None:
    for _ in range(19):
        made(live)
    refused(live.post("/keys", {"name": "n"}), 422, "VALIDATION_ERROR")
    ApiKey.objects.filter(id=live.get("/keys").json()["data"][0]["key_id"]).update(expires_at="2020-01-01T00:00Z")
    made(live)


def test_the_body_comes_before_the_right_and_all_of_it_at_once(cast: Cast) -> None:
    body = {"name": "n", "scopes": ["approvals:decide", "what"], "expires_at": "2020-01-01T00:00:00Z"}
    assert sorted(locs(only(cast, "keys").post("/keys", body)), key=str) == [
        ["body", "expires_at"],
        ["body", "scopes", 1],
    ]


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({}, ["body", "name"]),
    ({"name": ""}, ["body", "name"]),
    ({"name": "n" * 101}, ["body", "name"]),
    ({"name": 5}, ["body", "name"]),
    ({"name": "n", "budget_cents_month": -1}, ["body", "budget_cents_month"]),
    ({"name": "n", "budget_cents_month": True}, ["body", "budget_cents_month"]),
    ({"name": "n", "expires_at": "yesterday"}, ["body", "expires_at"]),
    ({"name": "n", "expires_at": 5_000_000_000}, ["body", "expires_at"]),
    ({"name": "n", "expires_at": "9999-12-31T23:59:59-23:59"}, ["body", "expires_at"]),
    ({"name": "n", "expires_at": "2020-01-01T00:00:00Z"}, ["body", "expires_at"]),
    ({"name": "n", "scopes": "runs:read"}, ["body", "scopes"]),
    ({"name": "a\0b"}, ["body", "name"]),
]


def test_what_a_key_may_not_be(live: Api) -> None:
    for body, loc in WRONG:
        assert locs(live.post("/keys", body)) == [loc]
    assert ApiKey.objects.count() == 1


def test_an_end_without_a_time_zone_is_utc(live: Api) -> None:
    made(live, expires_at="2099-01-01T00:00:00")
    assert live.get("/keys").json()["data"][0]["expires_at"] == "2099-01-01T00:00:00.000Z"
