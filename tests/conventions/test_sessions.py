"""A signed-in person calls the API with their cookie and a CSRF token (docs/api/README.md section 2)."""

from typing import Any

import pytest
from django.test import Client

from tests.cast import BY_PASSWORD, Api, Cast
from tests.conventions.conftest import refused

pytestmark = pytest.mark.django_db


def strict(cast: Cast, name: str) -> tuple[Client, str]:
    """A browser that is held to CSRF, and its token."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.people[name], backend=BY_PASSWORD)
    token = "t" * 32
    client.cookies["csrftoken"] = token
    return client, token


def post(client: Client, path: str, body: Any, **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/v1{path}", body, content_type="application/json", headers=sent)


def test_a_session_reads_without_a_token_and_names_no_key(cast: Cast) -> None:
    client, _ = strict(cast, "bob")
    answer = client.get("/v1/runs")
    assert answer.status_code == 200
    assert "X-Key-Kind" not in answer
    assert answer["X-RateLimit-Limit"] == "600"


def test_a_change_needs_the_csrf_token(cast: Cast) -> None:
    client, token = strict(cast, "alice")
    body = {"task": "x"}
    refused(post(client, "/runs", body, X_Team_Mode="test"), 403, "CSRF_FAILED")
    refused(post(client, "/runs", body, X_Team_Mode="test", X_CSRFToken="u" * 32), 403, "CSRF_FAILED")
    refused(post(client, "/no/such", body), 403, "CSRF_FAILED")
    assert post(client, "/runs", body, X_Team_Mode="test", X_CSRFToken=token).status_code == 200


def test_the_body_is_json_even_when_the_csrf_check_looked_into_a_form(cast: Cast) -> None:
    client, token = strict(cast, "alice")
    headers = {"X-CSRFToken": token, "X-Team-Mode": "test"}
    for kind in ("multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"):
        answer = client.generic("POST", "/v1/runs", b'{"task": "x"}', content_type=kind, headers=headers)
        assert answer.status_code == 200, (kind, answer.content)


def test_the_mode_header_selects_the_world_and_live_is_the_default(cast: Cast, test_key: Api) -> None:
    run = test_key.post("/runs", {"task": "x"}).json()["id"]
    client = cast.browser("bob")
    assert client.get(f"/v1/runs/{run}", headers={"X-Team-Mode": "test"}).status_code == 200
    refused(client.get(f"/v1/runs/{run}", headers={"X-Team-Mode": "live"}), 404, "RUN_NOT_FOUND")
    refused(client.get(f"/v1/runs/{run}"), 404, "RUN_NOT_FOUND")


def test_a_change_by_session_is_the_persons_own(cast: Cast) -> None:
    answer = post(cast.browser("alice"), "/runs", {"task": "x"}, X_Team_Mode="test")
    assert answer.json()["created_by"] == {"type": "user", "id": cast.people["alice"].id}


def test_a_cookie_never_lifts_a_call_with_a_key(cast: Cast) -> None:
    client = cast.browser("olga")
    for headers in ({"X-API-Key": "cs_live_wrong"}, {"X-API-Key": ""}, {"Authorization": "Bearer"}):
        refused(client.get("/v1/runs", headers=headers), 401, "INVALID_API_KEY")


def test_a_proxy_password_does_not_hide_the_session(cast: Cast) -> None:
    assert cast.browser("bob").get("/v1/runs", headers={"Authorization": "Basic dTpw"}).status_code == 200


def test_people_without_a_team_or_switched_off_are_401(cast: Cast) -> None:
    client, other = cast.browser("bob"), cast.browser("ana")
    cast.people["bob"].memberships.all().delete()
    cast.people["ana"].is_active = False
    cast.people["ana"].save()
    refused(client.get("/v1/runs"), 401, "INVALID_API_KEY")
    refused(other.get("/v1/runs"), 401, "INVALID_API_KEY")


def test_a_key_needs_no_token(cast: Cast, live: Api) -> None:
    client, _ = strict(cast, "bob")
    assert post(client, "/keys", {"name": "n"}, X_API_Key=live.key).status_code == 200
