"""Which keys open the API, and how they are sent (docs/api/README.md section 2)."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiKey
from tests.cast import Api, Cast, agent_credential
from tests.conventions.conftest import refused, row_of

pytestmark = pytest.mark.django_db
CLIENT = Client()


def call(path: str = "/v1/runs", **headers: str) -> Any:
    return CLIENT.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


BAD: list[dict[str, str]] = [
    {},
    {"X_API_Key": ""},
    {"X_API_Key": "cs_live_unknown"},
    {"X_API_Key": "cs_live_"},
    {"X_API_Key": "cs_test"},
    {"X_API_Key": "sk_live_abcdefghijklmnop"},
    {"X_API_Key": "ключ"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": "Bearer cs_test_unknown"},
    {"Authorization": "Basic dXNlcjpwYXNz"},
    {"X_API_Key": "cs_agent_forged"},
]


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/no/such/thing", "/v1", "/v1/"])
def test_T_001_without_a_good_key_every_path_is_401(path: str) -> None:
    for headers in BAD:
        answer = call(path, **headers)
        assert refused(answer, 401, "INVALID_API_KEY")["type"] == "auth_error"
        assert answer["WWW-Authenticate"] == "Bearer"


def test_T_001_another_prefix_before_a_good_secret_is_401(live: Api) -> None:
    refused(call(X_API_Key=live.key.replace("cs_live_", "cs_test_")), 401, "INVALID_API_KEY")


def test_T_002_a_bearer_key_alone_works(live: Api) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert call(Authorization=f"{scheme} {live.key}").status_code == 200


def test_T_002_an_empty_api_key_beside_a_good_bearer_key_is_ignored(live: Api) -> None:
    assert call(X_API_Key="", Authorization=f"Bearer {live.key}").status_code == 200


def test_with_both_a_non_empty_api_key_decides(live: Api, test_key: Api) -> None:
    assert call(X_API_Key=live.key, Authorization=f"Bearer {test_key.key}")["X-Key-Kind"] == "live"
    refused(call(X_API_Key="cs_live_wrong", Authorization=f"Bearer {live.key}"), 401, "INVALID_API_KEY")


def test_the_word_bearer_inside_the_api_key_header_is_401(live: Api) -> None:
    refused(call(X_API_Key=f"Bearer {live.key}"), 401, "INVALID_API_KEY")
    refused(call(Authorization=f"Bearer Bearer {live.key}"), 401, "INVALID_API_KEY")


def test_keys_are_never_read_from_the_query_string(live: Api) -> None:
    for name in ("api_key", "X-API-Key", "key", "access_token"):
        refused(call(f"/v1/runs?{name}={live.key}"), 401, "INVALID_API_KEY")


def test_T_003_answers_name_the_world_of_the_key(live: Api, test_key: Api) -> None:
    for path in ("/runs", "/runs/run_none", "/no/such/thing"):
        answer = test_key.get(path)
        assert (answer["X-Test-Mode"], answer["X-Key-Kind"]) == ("true", "test")
        answer = live.get(path)
        assert answer["X-Key-Kind"] == "live"
        assert "X-Test-Mode" not in answer


def test_the_credential_of_an_agent_opens_no_route(live: Api) -> None:
    credential = agent_credential("run_1")
    for path in ("/v1/runs", "/v1/team", "/v1/no/such/thing"):
        refused(call(path, X_API_Key=credential), 403, "AGENT_FORBIDDEN")
        refused(call(path, Authorization=f"Bearer {credential}"), 403, "AGENT_FORBIDDEN")


def test_a_key_is_stored_as_a_hash_and_a_prefix_of_16_characters(live: Api) -> None:
    row = row_of(live)
    assert row.prefix == live.key[:16]
    assert live.key not in str(ApiKey.objects.filter(id=row.id).values().get())


def test_revoked_and_expired_keys_are_401(cast: Cast) -> None:
    revoked, expired = cast.api(), cast.api()
    assert cast.api().delete(f"/keys/{row_of(revoked).id}").json() == {"status": "ok", "key_id": row_of(revoked).id}
    ApiKey.objects.filter(id=row_of(expired).id).update(expires_at=timezone.now() - timedelta(seconds=1))
    refused(revoked.get("/runs"), 401, "INVALID_API_KEY")
    refused(expired.get("/runs"), 401, "INVALID_API_KEY")


def test_a_key_of_a_person_who_was_switched_off_is_401(cast: Cast) -> None:
    key = cast.api(owner="alice")
    cast.people["alice"].is_active = False
    cast.people["alice"].save()
    refused(key.get("/runs"), 401, "INVALID_API_KEY")


def test_health_needs_no_key() -> None:
    for path in ("/v1/health", "/v1/health/"):
        answer = call(path)
        assert answer.json() == {"status": "ok"}
        assert answer["X-Request-Id"].startswith("req_")
