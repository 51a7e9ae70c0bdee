"""A name server that is slow keeps no row locked."""

from contextlib import nullcontext

import pytest

from accounts.webhooks import api
from tests.cast import Api

pytestmark = pytest.mark.django_db


def test_a_name_is_looked_up_before_the_transaction(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"url": "https://hooks.example.com/x", "events": ["run.succeeded"]}
    assert live.post("/webhooks", body, Idempotency_Key="one").status_code == 201
    assert live.post(
        "/runs", {"task": "x", "agent": "scripted", "webhook_url": "https://hooks.example.com/y"}
    ).status_code
    monkeypatch.setattr(api.targets, "looked_up", lambda _: nullcontext())
    refused = live.post("/webhooks", body, Idempotency_Key="two")
    assert refused.status_code == 500, "the suite notices what else happens in a transaction (tests/under_locks.py)"
