"""Webhooks of a team: registering, what each subscribes to, rotation, the two worlds, and who may do what."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry, Team, WebhookDelivery, WebhookEndpoint
from accounts.webhooks.schemas import EVENTS, USUAL
from approvals import clock
from tests.cast import Api, Cast
from tests.runs.driving import begin, drive_all, ended, request_of, shift, waiting
from tests.webhooks.receivers import Receiver, deliver_all, deliver_due, later, verify, verify_standard

pytestmark = pytest.mark.django_db
KEYS = {"id", "object", "url", "events", "active", "description", "secret", "disabled_reason", "created_at"}
PUBLIC = "https://93.184.216.34/hook"


def subscribe(api: Api, receiver: Receiver, *events: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/webhooks", {"url": receiver.url, "events": list(events), **more})
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def log_of(api: Api, hook: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"/webhooks/{hook['id']}/deliveries").json()["data"]
    return found


def test_a_new_webhook_shows_its_secret_once(test_key: Api) -> None:
    answer = test_key.post("/webhooks", {"url": PUBLIC, "description": "chat"}, Idempotency_Key="k")
    assert answer.status_code == 201
    assert answer["Cache-Control"] == "no-store"
    made = answer.json()
    assert set(made) == KEYS
    assert (made["object"], made["url"], made["active"], made["description"]) == ("webhook", PUBLIC, True, "chat")
    assert made["disabled_reason"] is None
    assert made["id"].startswith("whk_")
    again = test_key.post("/webhooks", {"url": PUBLIC, "description": "chat"}, Idempotency_Key="k")
    assert again.content == answer.content
    assert (again.status_code, again["Cache-Control"]) == (201, "no-store")
    for read in (test_key.get(f"/webhooks/{made['id']}").json(), *test_key.get("/webhooks").json()["data"]):
        assert read == made | {"secret": made["secret"][:10] + "..."}
    row = WebhookEndpoint.objects.get()
    assert made["secret"].encode() not in bytes(row.secret)


@pytest.mark.parametrize("body", [{}, {"events": []}, {"events": None}])
def test_T_133_without_events_it_gets_the_usual_ones(test_key: Api, body: dict[str, Any]) -> None:
    made = test_key.post("/webhooks", {"url": PUBLIC} | body)
    assert made.status_code == 201, made.content
    assert made.json()["events"] == list(USUAL)
    assert set(EVENTS) - set(USUAL) == {"run.awaiting_input", "approval.expired", "webhook.test"}


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"events": ["run.exploded"]}, ["body", "events", 0]),
        ({"events": ["run.failed", "RUN.FAILED"]}, ["body", "events", 1]),
        ({"events": "run.failed"}, ["body", "events"]),
        ({"description": "x" * 201}, ["body", "description"]),
        ({"active": "true"}, ["body", "active"]),
        ({"secret": "whsec_mine"}, ["body", "secret"]),
        ({"url": None}, ["body", "url"]),
        ({"url": ""}, ["body", "url"]),
    ],
)
def test_T_133_what_is_not_valid_is_422(test_key: Api, body: dict[str, Any], loc: list[Any]) -> None:
    answer = test_key.post("/webhooks", {"url": PUBLIC} | body)
    assert answer.status_code == 422, answer.content
    assert [d["loc"] for d in answer.json()["error"]["details"]] == [loc]
    assert not WebhookEndpoint.objects.exists()


def test_a_patch_changes_only_what_it_names(test_key: Api) -> None:
    made = test_key.post("/webhooks", {"url": PUBLIC, "events": ["run.failed"], "description": "a"}).json()
    path = f"/webhooks/{made['id']}"
    assert test_key.patch(path, {}).json()["error"]["code"] == "EMPTY_UPDATE"
    assert test_key.patch(path, {"url": None}).json()["error"]["code"] == "EMPTY_UPDATE"
    changed = test_key.patch(path, {"description": "b", "active": False})
    cut = {"secret": made["secret"][:10] + "..."}
    assert changed.json() == made | cut | {"description": "b", "active": False}
    assert test_key.patch(path, {"events": ["run.succeeded", "run.succeeded"]}).json()["events"] == ["run.succeeded"]
    assert test_key.patch(path, {"events": []}).json()["events"] == list(USUAL)
    assert test_key.patch(path, {"events": ["nope"]}).status_code == 422
    verbs = list(AuditEntry.objects.filter(subject=made["id"]).order_by("id").values_list("verb", flat=True))
    assert verbs == ["webhook.created", *["webhook.updated"] * 3]


def test_T_133_rotation_shows_the_new_secret_and_signs_with_both_for_a_day(test_key: Api, receiver: Receiver) -> None:
    made = subscribe(test_key, receiver, "run.succeeded")
    answer = test_key.patch(f"/webhooks/{made['id']}", {"rotate_secret": True})
    new = answer.json()["secret"]
    assert answer["Cache-Control"] == "no-store"
    assert new.startswith("whsec_")
    assert len(new) == len(made["secret"])
    assert new != made["secret"]
    assert test_key.get(f"/webhooks/{made['id']}").json()["secret"] == new[:10] + "..."
    assert test_key.patch(f"/webhooks/{made['id']}", {"rotate_secret": False}).json()["secret"] == new[:10] + "..."
    ended(test_key)
    deliver_all()
    (got,) = receiver.got
    verify(got, new)
    verify(got, made["secret"], "countersign-signature-previous")
    verify_standard(got, new, made["secret"])
    WebhookEndpoint.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    ended(test_key)
    deliver_all()
    verify_standard(receiver.got[1], new)
    assert "countersign-signature-previous" not in receiver.got[1].headers


def test_rotation_keeps_the_old_secret_for_24_hours(test_key: Api) -> None:
    made = test_key.post("/webhooks", {"url": PUBLIC}).json()
    test_key.patch(f"/webhooks/{made['id']}", {"rotate_secret": True})
    until = WebhookEndpoint.objects.get().previous_until
    assert until is not None
    assert timedelta(hours=23, minutes=59) < until - timezone.now() <= timedelta(hours=24)


# --- what is sent when


def test_a_subscriber_of_everything_hears_the_whole_life(test_key: Api, receiver: Receiver) -> None:
    subscribe(test_key, receiver, *EVENTS)
    run = waiting(test_key)
    deliver_all()
    assert receiver.events == ["run.awaiting_human", "run.awaiting_input", "approval.created"]
    approval = request_of(test_key, run)
    assert all(got.body["approval"] == approval and got.body["approval_id"] == approval["id"] for got in receiver.got)
    test_key.post(f"/approvals/{approval['id']}/decide", {"verdict": "approve", "note": "fine"})
    drive_all()
    deliver_all()
    assert receiver.events[3:] == ["run.resumed", "approval.decided", "run.succeeded"]
    resumed, decided = receiver.got[3:5]
    assert (resumed.body["status"], resumed.body["reason"], resumed.body["change"]) == ("running", None, None)
    assert decided.body["change"] == "decided"
    assert decided.body["approval"]["status"] == "approved"
    assert decided.body["approval"]["decision"]["note"] == "fine"
    assert len({got.body["id"] for got in receiver.got}) == 6


def test_the_usual_ones_leave_out_what_is_said_twice(test_key: Api, receiver: Receiver) -> None:
    subscribe(test_key, receiver)
    run = waiting(test_key)
    test_key.post(f"/runs/{run['id']}/resume")
    drive_all()
    deliver_all()
    assert receiver.events == [
        "run.awaiting_human",
        "approval.created",
        "run.resumed",
        "approval.decided",
        "run.succeeded",
    ]


def test_a_repeated_or_late_decision_sends_nothing(test_key: Api, receiver: Receiver) -> None:
    subscribe(test_key, receiver, "approval.decided", "run.resumed")
    approval = request_of(test_key, waiting(test_key))
    decide = f"/approvals/{approval['id']}/decide"
    assert test_key.post(decide, {"verdict": "reject"}).status_code == 200
    assert test_key.post(decide, {"verdict": "reject"}).status_code == 200
    assert test_key.post(decide, {"verdict": "approve"}).status_code == 409
    deliver_all()
    assert sorted(receiver.events) == ["approval.decided", "run.resumed"]


def test_a_decision_that_is_undone_is_told_twice(cast: Cast, test_key: Api, receiver: Receiver) -> None:
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=60)
    subscribe(test_key, receiver, "approval.decided", "run.resumed")
    approval = request_of(test_key, waiting(test_key))
    assert test_key.post(f"/approvals/{approval['id']}/decide", {"verdict": "approve"}).status_code == 200
    assert test_key.post(f"/approvals/{approval['id']}/undo").status_code == 200
    deliver_all()
    assert receiver.events == ["approval.decided", "approval.decided"]
    assert [got.body["change"] for got in receiver.got] == ["decided", "undone"]
    assert [got.body["approval"]["status"] for got in receiver.got] == ["approved", "pending"]
    assert {got.body["status"] for got in receiver.got} == {"awaiting_human"}


def test_only_the_vote_that_completes_a_quorum_is_told(cast: Cast, test_key: Api, receiver: Receiver) -> None:
    need = [{"group": "anyone", "count": 2}]
    assert test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": need}).status_code == 201
    subscribe(test_key, receiver, "approval.decided", "run.resumed")
    approval = request_of(test_key, waiting(test_key, "x [steps:1]"))
    path = f"/approvals/{approval['id']}/decide"
    assert test_key.post(path, {"verdict": "approve"}).json()["approval"]["status"] == "pending"
    deliver_all()
    assert receiver.events == []
    assert cast.api(test=True, owner="ana").post(path, {"verdict": "approve"}).json()["resumed"] is True
    deliver_all()
    assert sorted(receiver.events) == ["approval.decided", "run.resumed"]
    (decided,) = [got.body for got in receiver.got if got.event == "approval.decided"]
    assert [(v["group"], v["actor"]["type"]) for v in decided["approval"]["votes"]] == [("anyone", "api_key")] * 2


def test_a_rejection_that_ends_the_run_took_effect_too(test_key: Api, receiver: Receiver) -> None:
    subscribe(test_key, receiver)
    run = waiting(test_key, webhook_url=receiver.url + "/own")
    test_key.post(f"/runs/{run['id']}/resume", {"approved": False, "note": "no"})
    deliver_all()
    team = [got.event for got in receiver.got if got.path == "/hook"]
    assert sorted(team[2:]) == ["approval.decided", "run.failed", "run.resumed"]
    assert [got.event for got in receiver.got if got.path == "/hook/own"] == ["run.awaiting_human", "run.failed"]


def test_a_request_that_nobody_answers_expires(test_key: Api, receiver: Receiver) -> None:
    subscribe(test_key, receiver, "approval.expired", "approval.decided")
    for on_timeout in ("cancel", "reject"):
        run = waiting(test_key, awaiting_human_timeout_seconds=5, on_timeout=on_timeout)
        shift(run["id"], 6)
        assert clock.expiries() == 1
    deliver_all()
    assert receiver.events == ["approval.expired", "approval.decided"]
    assert [got.body["approval"]["status"] for got in receiver.got] == ["expired", "rejected"]


def test_each_hears_only_what_it_wants(test_key: Api, receiver: Receiver) -> None:
    first = subscribe(test_key, receiver, "run.succeeded")
    second = subscribe(test_key, receiver, "run.failed")
    off = subscribe(test_key, receiver, "run.succeeded", active=False)
    run = ended(test_key)
    ended(test_key, "x [fail]")
    deliver_all()
    assert [d["event"] for d in log_of(test_key, first)] == ["run.succeeded"]
    assert [d["event"] for d in log_of(test_key, second)] == ["run.failed"]
    assert log_of(test_key, off) == []
    (delivery,) = log_of(test_key, first)
    assert set(delivery) == {
        "id", "object", "webhook_id", "event_id", "event", "run_id", "url", "status", "attempts", "response_status",
        "reason", "next_attempt_at", "redelivery_of", "created_at", "finished_at",
    }  # fmt: skip
    assert delivery["id"].startswith("whd_")
    assert (delivery["object"], delivery["webhook_id"], delivery["run_id"]) == ("delivery", first["id"], run["id"])
    assert (delivery["status"], delivery["attempts"], delivery["response_status"]) == ("succeeded", 1, 200)
    assert (delivery["reason"], delivery["next_attempt_at"], delivery["redelivery_of"]) == (None, None, None)


def test_a_run_with_its_own_address_tells_both(test_key: Api, receiver: Receiver) -> None:
    subscribe(test_key, receiver, "run.succeeded")
    run = ended(test_key, webhook_url=receiver.url)
    deliver_all()
    assert receiver.events == ["run.succeeded"] * 2
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert len({got.raw for got in receiver.got}) == 1
    assert len(test_key.get(f"/runs/{run['id']}/deliveries").json()["data"]) == 2


def test_switched_off_it_hears_nothing_more(test_key: Api, receiver: Receiver) -> None:
    hook = subscribe(test_key, receiver, "run.succeeded")
    ended(test_key)
    test_key.patch(f"/webhooks/{hook['id']}", {"active": False})
    ended(test_key)
    deliver_all()
    assert receiver.got == []
    assert [(d["status"], d["reason"]) for d in log_of(test_key, hook)] == [("failed", "The webhook was switched off.")]


def test_deleting_drops_what_is_pending(test_key: Api, receiver: Receiver) -> None:
    hook = subscribe(test_key, receiver, "run.succeeded")
    first = ended(test_key)
    deliver_all()
    ended(test_key)
    answer = test_key.delete(f"/webhooks/{hook['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    deliver_all()
    assert receiver.events == ["run.succeeded"]
    assert WebhookDelivery.objects.count() == 1
    for method, path in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("POST", "/test"), ("GET", "/deliveries")):
        answer = test_key.request(method, f"/webhooks/{hook['id']}{path}", {} if method != "GET" else None)
        assert answer.json()["error"]["code"] == "WEBHOOK_NOT_FOUND"
    assert test_key.get("/webhooks").json()["data"] == []
    (kept,) = test_key.get(f"/runs/{first['id']}/deliveries").json()["data"]
    assert kept["webhook_id"] == hook["id"]


def test_a_changed_address_takes_what_is_under_way_along(test_key: Api, receiver: Receiver) -> None:
    hook = test_key.post("/webhooks", {"url": receiver.url + "/old", "events": ["run.succeeded"]}).json()
    receiver.answers = [500, 200]
    ended(test_key)
    deliver_due()
    test_key.patch(f"/webhooks/{hook['id']}", {"url": receiver.url + "/new"})
    later()
    deliver_due()
    assert [got.path for got in receiver.got] == ["/hook/old", "/hook/new"]


def test_the_test_call_is_sent_whatever_it_subscribes_to(test_key: Api, receiver: Receiver) -> None:
    hook = subscribe(test_key, receiver, "run.failed", active=False)
    answer = test_key.post(f"/webhooks/{hook['id']}/test")
    assert answer.status_code == 200
    assert (answer.json()["event"], answer.json()["status"], answer.json()["run_id"]) == (
        "webhook.test",
        "pending",
        None,
    )
    deliver_all()
    (got,) = receiver.got
    verify(got, hook["secret"])
    assert got.event == "webhook.test"
    assert got.body["run"] is None
    assert [d["status"] for d in log_of(test_key, hook)] == ["succeeded"]


def test_the_worlds_do_not_hear_of_each_other(test_key: Api, live: Api, strangers: Cast, receiver: Receiver) -> None:
    hook = subscribe(live, receiver, "run.succeeded")
    subscribe(strangers.api(test=True), receiver, "run.succeeded")
    ended(test_key)
    deliver_all()
    assert receiver.got == []
    for other in (test_key, strangers.api()):
        assert other.get("/webhooks").json()["data"] == [] or other is not test_key
        assert other.get(f"/webhooks/{hook['id']}").json()["error"]["code"] == "WEBHOOK_NOT_FOUND"
        assert other.delete(f"/webhooks/{hook['id']}").status_code == 404
    assert WebhookEndpoint.objects.filter(deleted_at__isnull=True).count() == 2


def test_nobody_listens_and_nothing_is_written(test_key: Api) -> None:
    begin(test_key)
    drive_all()
    assert not WebhookDelivery.objects.exists()


def test_lists_are_paged(test_key: Api) -> None:
    made = [test_key.post("/webhooks", {"url": PUBLIC}).json()["id"] for _ in range(3)]
    first = test_key.get("/webhooks?limit=2").json()
    rest = test_key.get(f"/webhooks?limit=2&cursor={first['next_cursor']}").json()
    assert [row["id"] for row in first["data"] + rest["data"]] == made[::-1]
    assert (first["has_more"], rest["has_more"]) == (True, False)
