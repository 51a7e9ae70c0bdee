"""The secrets of a team by API: what goes in never comes out (docs/api/runs.md section 11)."""

from typing import Any

import pytest

from accounts.actor import SCOPES
from accounts.models import AuditEntry, IdempotencyRecord, TeamSecret
from database.sealing import unseal
from tests.cast import Api, Cast

pytestmark = pytest.mark.django_db
VALUE = "tr0ub4dor-and-3"
SEED = "JBSWY3DPEHPK3PXP"
BODY = {"name": "shop password", "value": VALUE, "hosts": ["Shop.Example.com", "*.example.org"]}


def refused(api: Api, body: dict[str, Any], path: str = "/secrets") -> list[tuple[list[Any], str]]:
    answer = api.put(path, body) if path != "/secrets" else api.post(path, body)
    assert answer.status_code == 422, answer.content
    assert VALUE not in answer.content.decode()
    return [(d["loc"], d["type"]) for d in answer.json()["error"]["details"]]


def test_T_187_a_secret_goes_in_and_its_value_never_comes_out(live: Api) -> None:
    made = live.post("/secrets", BODY)
    assert made.status_code == 201
    body = made.json()
    assert body["hosts"] == ["shop.example.com", "*.example.org"]
    facts = {name: body[name] for name in ("object", "name", "kind", "machines", "last_used_at", "last_used_run_id")}
    assert facts == {
        "object": "secret", "name": "shop password", "kind": "value", "machines": [], "last_used_at": None,
        "last_used_run_id": None,
    }  # fmt: skip
    listed = live.get("/secrets")
    assert listed.json()["data"] == [body]
    changed = live.put("/secrets/shop%20password", {"value": f"{VALUE}!", "hosts": ["a.test"], "machines": ["mch_1"]})
    assert changed.status_code == 200
    assert (changed.json()["hosts"], changed.json()["machines"]) == (["a.test"], ["mch_1"])
    assert changed.json()["replaced_at"]
    row = TeamSecret.objects.get()
    assert unseal(row.sealed) == f"{VALUE}!"
    assert VALUE.encode() not in bytes(row.sealed)
    for answer in (made, listed, changed):
        assert VALUE not in answer.content.decode()
    assert VALUE not in repr(list(AuditEntry.objects.values()))
    assert live.delete("/secrets/shop%20password").status_code == 204
    assert live.delete("/secrets/shop%20password").status_code == 404
    assert live.get("/secrets").json()["data"] == []
    verbs = list(AuditEntry.objects.filter(verb__startswith="secret.").order_by("id").values_list("verb", flat=True))
    assert verbs == ["secret.created", "secret.changed", "secret.deleted"]


def test_a_seed_is_kept_in_one_spelling_and_can_be_replaced_by_a_value(live: Api) -> None:
    made = live.post("/secrets", {"name": "code", "totp_seed": "jbsw y3dp ehpk 3pxp", "hosts": ["a.test"]}).json()
    assert made["kind"] == "totp"
    assert unseal(TeamSecret.objects.get().sealed) == SEED
    assert live.put("/secrets/code", {"value": "x"}).json()["kind"] == "value"
    assert live.put("/secrets/code", {"hosts": ["b.test"]}).json()["kind"] == "value"
    assert unseal(TeamSecret.objects.get().sealed) == "x"


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"value": None}, [(["body", "value"], "missing")]),
        ({"totp_seed": SEED}, [(["body", "value"], "value_error")]),
        ({"value": ""}, [(["body", "value"], "value_error")]),
        ({"value": VALUE * 300}, [(["body", "value"], "value_error")]),
        ({"value": 5}, [(["body", "value"], "type_error")]),
        ({"value": None, "totp_seed": "JBSW1"}, [(["body", "totp_seed"], "value_error")]),
        ({"hosts": []}, [(["body", "hosts"], "value_error")]),
        ({"hosts": None}, [(["body", "hosts"], "missing")]),
        ({"hosts": [f"a{n}.test" for n in range(21)]}, [(["body", "hosts"], "value_error")]),
        ({"hosts": ["a.test", "https://b.test"]}, [(["body", "hosts", 1], "value_error")]),
        ({"hosts": ["a.test:443"]}, [(["body", "hosts", 0], "value_error")]),
        ({"hosts": "a.test"}, [(["body", "hosts"], "type_error")]),
        ({"name": ""}, [(["body", "name"], "value_error")]),
        ({"name": "x" * 65}, [(["body", "name"], "value_error")]),
        ({"name": "a}} b"}, [(["body", "name"], "value_error")]),
        ({"name": "a/b"}, [(["body", "name"], "value_error")]),
        ({"name": 'a"b'}, [(["body", "name"], "value_error")]),
        ({"name": " a"}, [(["body", "name"], "value_error")]),
        ({"name": "a\u202eb"}, [(["body", "name"], "value_error")]),
        ({"machines": [5]}, [(["body", "machines", 0], "type_error")]),
        ({"note": VALUE}, [(["body", "note"], "extra_forbidden")]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_422_and_is_not_repeated(live: Api, change: dict[str, Any], wrong: list[Any]) -> None:
    assert refused(live, BODY | change) == wrong
    assert not TeamSecret.objects.exists()


def test_a_name_is_taken_once_in_each_world_whatever_its_case(live: Api, test_key: Api, strangers: Cast) -> None:
    assert live.post("/secrets", BODY).status_code == 201
    assert refused(live, BODY | {"name": "Shop Password"}) == [(["body", "name"], "value_error")]
    for other in (test_key, strangers.api()):
        assert other.get("/secrets").json()["data"] == []
        assert other.put("/secrets/shop%20password", {"value": "y"}).json()["error"]["code"] == "NOT_FOUND"
        assert other.delete("/secrets/shop%20password").status_code == 404
        assert other.post("/secrets", BODY).status_code == 201
    assert TeamSecret.objects.count() == 3


def test_a_change_names_something_and_one_kind(live: Api) -> None:
    live.post("/secrets", BODY)
    path = "/secrets/shop%20password"
    assert live.put(path, {}).json()["error"]["code"] == "EMPTY_UPDATE"
    assert refused(live, {"value": VALUE, "totp_seed": SEED}, path) == [(["body", "value"], "value_error")]
    assert refused(live, {"name": "other"}, path) == [(["body", "name"], "extra_forbidden")]
    assert refused(live, {"hosts": []}, path) == [(["body", "hosts"], "value_error")]
    assert live.put("/secrets/none", {"hosts": []}).status_code == 404  # before the body, docs/api/README.md 5


def test_a_key_needs_the_scope_for_everything(cast: Cast) -> None:
    api = cast.api(scopes=frozenset(SCOPES) - {"secrets:write"})
    for answer in (
        api.get("/secrets"),
        api.post("/secrets", BODY),
        api.put("/secrets/x", {}),
        api.delete("/secrets/x"),
    ):
        assert (answer.status_code, answer.json()["error"]["required_scope"]) == (403, "secrets:write")


def test_a_repeated_call_makes_one(live: Api) -> None:
    first = live.post("/secrets", BODY, Idempotency_Key="k1")
    again = live.post("/secrets", BODY, Idempotency_Key="k1")
    assert (again.status_code, again.content) == (201, first.content)
    assert again["Idempotency-Replayed"] == "true"
    other = live.post("/secrets", BODY | {"value": "other"}, Idempotency_Key="k1")
    assert other.json()["error"]["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert VALUE not in repr(list(IdempotencyRecord.objects.values()))
