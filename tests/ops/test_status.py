"""What watchers of an installation read."""

import pytest
from django.test import Client
from django.utils import timezone

from runs.models import Worker

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
