"""What watchers of an installation read."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.keys.services import revoke_key
from runs.models import Worker
from tests.cast import Api, Cast, actor_of_key, agent_credential

pytestmark = pytest.mark.django_db


def test_healthz_and_version_answer_anybody(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert set(client.get("/version").json()) == {"version", "api"}


def test_readyz_names_the_missing_worker_and_is_content_with_one(client: Client) -> None:
    assert client.get("/readyz").status_code == 503
    assert client.get("/readyz").json()["missing"] == ["No worker is running."]
    Worker.objects.create(name="w", started_at=timezone.now(), heartbeat_at=timezone.now())
    assert client.get("/readyz").status_code == 200


def test_metrics_are_gauges_with_a_type(client: Client) -> None:
    text = client.get("/metrics").content.decode()
    assert "# TYPE countersign_approvals_pending gauge\ncountersign_approvals_pending 0\n" in text


def asked(client: Client, peer: str = "203.0.113.9", **headers: str) -> tuple[int, str]:
    answer = client.get("/metrics", REMOTE_ADDR=peer, headers={k.replace("_", "-"): v for k, v in headers.items()})
    return answer.status_code, "" if answer.status_code == 200 else answer.json()["error"]["code"]


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_metrics_are_open_on_this_computer(client: Client, peer: str) -> None:
    assert asked(client, peer) == (200, "")


@pytest.mark.parametrize(
    "peer", ["203.0.113.9", "10.0.0.1", "172.17.0.1", "::ffff:10.0.0.1", "fe80::1", "", "localhost"]
)
def test_metrics_are_shut_to_everybody_else(client: Client, cast: Cast, peer: str) -> None:
    answer = client.get("/metrics", REMOTE_ADDR=peer)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    assert "countersign" not in answer.content.decode().lower()
    assert cast.browser("olga").get("/metrics", REMOTE_ADDR=peer).status_code == 401  # a cookie is no key


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via", "CF-Connecting-IP"],
)
def test_behind_a_proxy_nobody_is_on_this_computer(client: Client, header: str) -> None:
    """The proxy is, who asks it is not; and what it says of them is not believed either way."""
    assert asked(client, "127.0.0.1", **{header: "127.0.0.1"}) == (401, "INVALID_API_KEY")
    assert asked(client, "127.0.0.1", **{header: ""}) == (401, "INVALID_API_KEY")


@pytest.mark.parametrize(
    "change",
    [
        {"PUBLIC_URL": "https://agents.example.com"}, {"CSRF_TRUSTED_ORIGINS": ["https://agents.example.com"]},
        {"SECURE_COOKIES": True},
    ],
)  # fmt: skip
def test_an_installation_that_says_it_is_behind_a_proxy_is_believed(
    client: Client, settings: Any, change: dict[str, Any]
) -> None:
    """A proxy that adds no header at all looks like a caller on this computer."""
    for name, value in change.items():
        setattr(settings, name, value)
    assert asked(client, "127.0.0.1") == (401, "INVALID_API_KEY")


def test_a_name_that_leads_here_from_elsewhere_is_not_this_computer(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    assert asked(client, "127.0.0.1", Host="agents.example.com") == (401, "INVALID_API_KEY")
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert asked(client, "127.0.0.1", Host=host) == (200, "")
    settings.PUBLIC_URL = "http://localhost:8000"
    assert asked(client, "127.0.0.1", Host="localhost:8000") == (200, "")


def test_a_key_opens_the_metrics(client: Client, cast: Cast, live: Api, test_key: Api) -> None:
    nothing = cast.api(scopes=frozenset())
    for api in (live, test_key, nothing):
        assert asked(client, X_API_Key=api.key) == (200, "")
        assert asked(client, Authorization=f"Bearer {api.key}") == (200, "")
    for word in ("cs_live_made_up", "x", "Bearer", live.key + "x"):
        assert asked(client, X_API_Key=word) == (401, "INVALID_API_KEY")
    assert asked(client, X_API_Key=agent_credential("run_x")) == (403, "AGENT_FORBIDDEN")
    revoke_key(cast.actor(), actor_of_key(nothing.key).id)
    assert asked(client, X_API_Key=nothing.key) == (401, "INVALID_API_KEY")


def test_a_token_opens_the_metrics_and_nothing_else(client: Client, settings: Any) -> None:
    assert asked(client, Authorization="Bearer ") == (401, "INVALID_API_KEY")
    settings.METRICS_TOKEN = "a-token-for-the-watcher"
    assert asked(client, Authorization="Bearer a-token-for-the-watcher") == (200, "")
    assert asked(client, Authorization="bearer a-token-for-the-watcher") == (200, "")
    for word in ("a-token-for-the-watche", "a-token-for-the-watcher2", "", "é"):
        assert asked(client, Authorization=f"Bearer {word}") == (401, "INVALID_API_KEY")
    assert client.get("/v1/team", headers={"Authorization": "Bearer a-token-for-the-watcher"}).status_code == 401


def test_guesses_at_the_key_are_counted_as_calls(client: Client, live: Api, settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE = 2
    assert [asked(client, X_API_Key=live.key)[0] for _ in range(3)] == [200, 200, 429]
