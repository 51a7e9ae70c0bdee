"""What the streams show of runs that were really driven."""

import json
from typing import Any

from django.http import StreamingHttpResponse

from tests.cast import Api
from tests.live.reading import Block, block_of
from tests.runs.driving import drive_all, ended, request_of, waiting


def blocks(api: Api, run: dict[str, Any], path: str = "events") -> list[Block]:
    answer = api.get(f"/runs/{run['id']}/{path}")
    assert isinstance(answer, StreamingHttpResponse)
    *found, rest = answer.getvalue().split(b"\n\n")
    assert rest == b""
    return [block_of(raw) for raw in found]


def envelopes(api: Api, run: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    found = blocks(api, run, "events/stream")
    assert [b.id for b in found] == [b.data["seq"] for b in found]
    return [(b.data["type"], b.data["payload"]["value"]) for b in found]


def approved(api: Api, run: dict[str, Any]) -> dict[str, Any]:
    assert api.post(f"/runs/{run['id']}/resume", {}).status_code == 200
    drive_all()
    return run


def test_T_112_a_log_starts_queued_and_ends_done(test_key: Api) -> None:
    found = blocks(test_key, ended(test_key))
    assert [b.id for b in found] == list(range(1, len(found) + 1))
    assert (found[0].event, found[0].data) == ("status", {"status": "queued"})
    assert [b.event for b in found].index("done") == len(found) - 1


def test_T_113_billing_adds_up(test_key: Api) -> None:
    found = blocks(test_key, ended(test_key))
    assert [b.data["cost_cents"] for b in found if b.event == "billing"] == [5, 10, 15]
    assert [b.data["credits_charged"] for b in found if b.event == "billing"] == [5, 10, 15]


def test_T_119_waiting_and_deciding_write_pairs(test_key: Api) -> None:
    found = blocks(test_key, approved(test_key, waiting(test_key)))
    short = [b.data["status"] if b.event == "status" else b.event for b in found]
    asked = short.index("awaiting_human")
    assert (found[asked].event, found[asked + 1].event) == ("status", "awaiting_human")
    decided = short.index("resumed")
    assert short[decided + 1] == "running"


def test_T_120_envelopes_of_a_whole_run(test_key: Api) -> None:
    found = envelopes(test_key, approved(test_key, waiting(test_key)))
    assert [name for name, _ in found] == [
        "run.created", "run.worker.started", "run.step.completed", "run.awaiting_input", "run.resumed",
        "run.step.completed", "run.step.completed", "run.worker.succeeded",
    ]  # fmt: skip
    assert found[-1][1]["result"]["passed"] is True


def test_T_121_the_request_of_a_pause(test_key: Api) -> None:
    run = waiting(test_key)
    [value] = [value for name, value in envelopes(test_key, run) if name == "run.awaiting_input"]
    assert value["request_id"] == request_of(test_key, run)["id"]
    assert (value["reason_code"], value["input_kind"]) == ("AWAITING_APPROVAL", "approval")


def test_T_122_the_step_limit_shows_before_the_failure(test_key: Api) -> None:
    found = envelopes(test_key, ended(test_key, "[steps:5]", max_steps=2))
    assert [name for name, _ in found[-2:]] == ["run.limit_exceeded", "run.worker.failed"]
    assert found[-1][1]["reason_code"] == "max_steps_reached"


def test_T_123_nothing_of_what_was_asked_is_in_an_envelope(test_key: Api) -> None:
    run = ended(test_key, input={"goal": "look", "about": "a-thing"}, task=None, metadata={"order": "a-number"})
    found = blocks(test_key, run, "events/stream")
    assert found[0].data["payload"]["redacted"] is True
    text = json.dumps([b.data for b in found])
    assert "a-thing" not in text
    assert "a-number" not in text
