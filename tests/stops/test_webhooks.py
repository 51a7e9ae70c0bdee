"""A stop, its confirmation and its lift are told to whoever listens."""

import pytest

from accounts.models import WebhookEvent
from machines.models import Stop
from runs.stops.clock import enforce
from tests.cast import Api
from tests.runs.driving import begin
from tests.stops.stopping import lift, stop

pytestmark = pytest.mark.django_db


def told() -> list[dict[str, object]]:
    import json

    return [json.loads(row.body) for row in WebhookEvent.objects.order_by("created_at", "id")]


def test_the_three_are_told_in_their_order(test_key: Api) -> None:
    test_key.post("/webhooks", {"url": "https://93.184.216.34/x"})
    begin(test_key)
    stopped = stop(test_key, reason="It mails everybody.")
    lifted = lift(test_key, stopped)
    messages = told()
    assert [m["event"] for m in messages] == ["stop.requested", "stop.confirmed", "stop.lifted"]
    assert {m["reason"] for m in messages} == {"It mails everybody."}
    assert {m["run_id"] for m in messages} == {None}
    first, second, third = (m["data"] for m in messages)
    assert isinstance(first, dict)
    assert (first["id"], first["confirmed_at"], first["runs"]) == (stopped["id"], None, 1)
    assert isinstance(second, dict)
    assert (second["confirmed_at"], second["lifted_at"]) == (stopped["confirmed_at"], None)
    assert third == {name: value for name, value in lifted.items() if name != "request_id"}


def test_a_stop_is_confirmed_once(test_key: Api) -> None:
    test_key.post("/webhooks", {"url": "https://93.184.216.34/x", "events": ["stop.confirmed"]})
    stop(test_key)
    Stop.objects.update(confirmed_at=None)
    enforce()
    enforce()
    assert len(told()) == 2  # once before the row was changed by hand


def test_what_is_lifted_before_it_was_confirmed_is_never_confirmed(test_key: Api) -> None:
    test_key.post("/webhooks", {"url": "https://93.184.216.34/x"})
    stopped = stop(test_key)
    Stop.objects.update(confirmed_at=None)
    assert lift(test_key, stopped)["confirmed_at"] is None
    enforce()
    assert Stop.objects.get().confirmed_at is None
