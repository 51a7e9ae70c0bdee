"""Attempts: the schedule, what counts as success, failures in plain words, crashes, and sending again."""

import base64
import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import AuditEntry, WebhookDelivery, WebhookEvent
from accounts.tasks import deliver
from accounts.webhooks import outbox, sender, sending
from accounts.webhooks.outbox import Outcome
from tests.cast import Api, make_cast
from tests.runs.driving import ended, until
from tests.webhooks.receivers import Receiver, attempt, closed_port, deliver_all, deliver_due, later, silent, verify

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(test_key: Api, receiver: Receiver) -> dict[str, Any]:
    made: dict[str, Any] = test_key.post("/webhooks", {"url": receiver.url}).json()
    return made


@pytest.fixture
def sent(test_key: Api, hook: dict[str, Any]) -> str:
    """The id of a delivery whose first attempt is due."""
    return str(test_key.post(f"/webhooks/{hook['id']}/test").json()["id"])


def row_of(delivery_id: str) -> WebhookDelivery:
    return WebhookDelivery.objects.select_related("event").get(id=delivery_id)


def tasks() -> list[tuple[Any, ...]]:
    queued = [each.task for each in OrmQ.objects.order_by("id")]
    return [task["args"] for task in queued if task["func"] == "accounts.tasks.deliver"]


def test_T_132_six_attempts_and_their_pauses(sent: str, receiver: Receiver) -> None:
    receiver.answers = [500]
    for number, pause in enumerate((5, 25, 120, 600, 3000), start=1):
        assert deliver_due() == 1
        row = row_of(sent)
        assert (row.status, row.attempts, row.response_status) == ("pending", number, 500)
        assert row.reason == "The receiver answered 500 Internal Server Error"
        assert row.next_attempt_at is not None
        wait = (row.next_attempt_at - timezone.now()).total_seconds()
        assert pause * 0.9 - 5 < wait <= pause * 1.1, number
        assert deliver_due() == 0
        later()
    deliver_due()
    row = row_of(sent)
    assert (row.status, row.attempts, row.next_attempt_at) == ("failed", 6, None)
    assert row.finished_at is not None
    later()
    assert deliver_due() == 0
    assert len(receiver.got) == 6
    assert len({got.raw for got in receiver.got}) == len({got.headers["webhook-id"] for got in receiver.got}) == 1


def test_pauses_are_spread_by_a_tenth(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for factor in (0.9, 1.1):
        monkeypatch.setattr(
            "random.uniform", lambda low, high, factor=factor: factor if (low, high) == (0.9, 1.1) else 0
        )
        attempt = outbox.claim(sent, row_of(sent).attempts)
        assert attempt is not None
        before = timezone.now()
        outbox.settle(attempt, Outcome(500, "no"))
        at = row_of(sent).next_attempt_at
        assert at is not None
        pause = outbox.PAUSES[attempt.number - 1]
        assert abs((at - before).total_seconds() - pause * factor) < 1


def test_each_attempt_is_signed_anew_over_the_same_body(
    sent: str, hook: dict[str, Any], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answers = [500, 200]
    now = int(time.time())
    monkeypatch.setattr(sending.time, "time", lambda: now - 100)
    deliver_due()
    monkeypatch.undo()
    later()
    deliver_due()
    first, second = receiver.got
    verify(first, hook["secret"])
    verify(second, hook["secret"])
    assert first.headers["webhook-timestamp"] == str(now - 100)
    assert int(second.headers["webhook-timestamp"]) >= now
    assert first.raw == second.raw


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(sent: str, receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    deliver_due()
    row = row_of(sent)
    assert (row.status, row.response_status, row.reason) == ("succeeded", status, None)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_T_132_redirects_are_failures_and_not_followed(sent: str, receiver: Receiver, status: int) -> None:
    receiver.answers = [status, 200]
    receiver.headers = {"Location": receiver.url + "/elsewhere"}
    deliver_due()
    row = row_of(sent)
    assert (row.status, row.response_status) == ("pending", status)
    assert (row.reason or "").endswith("; redirects are not followed")
    assert [got.path for got in receiver.got] == ["/hook"]


@pytest.mark.parametrize("status", [400, 401, 404, 429, 503, 599])
def test_other_answers_are_tried_again(sent: str, receiver: Receiver, status: int) -> None:
    receiver.answers = [status, 200]
    deliver_all()
    row = row_of(sent)
    assert (row.status, row.attempts, row.reason) == ("succeeded", 2, None)


def test_410_stops_at_once_and_switches_the_webhook_off(
    test_key: Api, hook: dict[str, Any], sent: str, receiver: Receiver
) -> None:
    receiver.answers = [410]
    deliver_all()
    row = row_of(sent)
    assert (row.status, row.attempts, row.reason) == ("failed", 1, "The receiver answered 410 Gone")
    shown = test_key.get(f"/webhooks/{hook['id']}").json()
    assert (shown["active"], shown["disabled_reason"]) == (False, "The receiver answered 410 Gone.")
    assert AuditEntry.objects.filter(subject=hook["id"], verb="webhook.disabled").exists()
    on = test_key.patch(f"/webhooks/{hook['id']}", {"active": True}).json()
    assert (on["active"], on["disabled_reason"]) == (True, None)


def test_410_of_a_runs_own_address_stops_it(test_key: Api, receiver: Receiver) -> None:
    receiver.answers = [410]
    run = ended(test_key, webhook_url=receiver.url)
    deliver_all()
    (row,) = test_key.get(f"/runs/{run['id']}/deliveries").json()["data"]
    assert (row["status"], row["attempts"]) == ("failed", 1)


# --- failures in plain words


def reason_at(url: str) -> str | None:
    row = WebhookDelivery.objects.get()
    WebhookDelivery.objects.update(url=url)
    attempt(row.id, row.attempts)
    return row_of(row.id).reason


def test_reasons_are_in_plain_words(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "TIMEOUT", 0.3)
    assert reason_at(closed_port()) == "Connection refused"
    with silent() as nobody:
        assert reason_at(nobody) == "No answer within 0 seconds"
    with silent(b"") as rude:
        assert reason_at(rude) == "The receiver closed the connection without a proper HTTP answer"
    with silent(b"SSH-2.0-OpenSSH\r\n") as other:
        assert reason_at(other) == "The receiver closed the connection without a proper HTTP answer"
        assert (reason_at(other.replace("http:", "https:")) or "").startswith("No secure connection: ")


def test_the_whole_attempt_takes_ten_seconds_at_most() -> None:
    assert sending.TIMEOUT == 10
    assert timedelta(seconds=sending.TIMEOUT) < outbox.LEASE


def test_a_receiver_that_drips_its_answer_is_given_up(sent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, the answer does not: the limit is for all of it."""
    monkeypatch.setattr(sending, "TIMEOUT", 0.4)
    begun = time.monotonic()
    with silent() as nobody:
        assert "No answer" in (reason_at(nobody) or "")
    assert time.monotonic() - begun < 3


def test_an_answer_without_end_is_not_read(sent: str) -> None:
    with silent(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc") as endless:
        assert reason_at(endless) is None
    assert row_of(sent).status == "succeeded"


def test_proxies_of_the_environment_are_not_used(
    sent: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, closed_port())
    deliver_due()
    assert receiver.events == ["webhook.test"]


# --- crashes, doubles, the clock


def test_a_task_that_runs_twice_sends_once(sent: str, receiver: Receiver) -> None:
    attempt(sent, 0)
    attempt(sent, 0)
    assert len(receiver.got) == 1
    assert tasks() == [(sent, 0)]


def test_a_claimed_attempt_is_nobody_elses(sent: str) -> None:
    assert outbox.claim(sent, 0) is not None
    assert outbox.claim(sent, 0) is None
    assert outbox.queue_due() == 0


def test_what_a_dead_worker_had_in_hand_is_sent_again(sent: str, receiver: Receiver) -> None:
    dead = outbox.claim(sent, 0)
    assert dead is not None
    WebhookDelivery.objects.update(queued_until=timezone.now() - timedelta(seconds=1))
    assert outbox.queue_due() == 1
    assert tasks()[-1] == (sent, 1)
    attempt(sent, 1)
    assert row_of(sent).status == "succeeded"
    outbox.settle(dead, Outcome(None, "too late"))
    row = row_of(sent)
    assert (row.status, row.attempts, row.reason) == ("succeeded", 2, None)


def test_the_loser_of_a_lost_lease_writes_nothing(sent: str) -> None:
    slow = outbox.claim(sent, 0)
    quick = outbox.claim(sent, 1)
    assert slow is not None
    assert quick is not None
    outbox.settle(slow, Outcome(None, "too late"))
    assert row_of(sent).reason is None
    outbox.settle(quick, Outcome(200, None))
    assert row_of(sent).status == "succeeded"


def test_a_death_in_the_last_attempt_ends_it(sent: str, receiver: Receiver) -> None:
    WebhookDelivery.objects.update(attempts=6)
    attempt(sent, 6)
    row = row_of(sent)
    assert row.status == "failed"
    assert "not known" in (row.reason or "")
    assert receiver.got == []


def test_a_queue_that_lost_its_task_gets_it_again(sent: str, receiver: Receiver) -> None:
    """Pending deliveries survive a restart of everything: the row is the truth."""
    OrmQ.objects.all().delete()
    assert outbox.queue_due() == 0
    WebhookDelivery.objects.update(queued_until=timezone.now() - timedelta(seconds=1))
    assert (outbox.queue_due(), outbox.queue_due()) == (1, 0)
    assert tasks() == [(sent, 0)]


def test_the_clock_queues_what_is_due_and_only_that(sent: str, receiver: Receiver) -> None:
    receiver.answers = [500]
    deliver_due()
    assert outbox.queue_due() == 0
    WebhookDelivery.objects.update(next_attempt_at=timezone.now())
    assert (outbox.queue_due(), outbox.queue_due()) == (1, 0)
    assert tasks() == [(sent, 0), (sent, 1)]


def test_old_messages_are_forgotten_after_the_teams_days(test_key: Api, hook: dict[str, Any], sent: str) -> None:
    WebhookEvent.objects.update(created_at=timezone.now() - timedelta(days=91))
    assert outbox.sweep() == 0
    deliver_due()
    assert outbox.sweep() == 2
    assert not WebhookDelivery.objects.exists()


# --- again


def test_T_132_a_redelivery_is_a_new_delivery_of_the_same_message(
    test_key: Api, hook: dict[str, Any], sent: str, receiver: Receiver
) -> None:
    receiver.answers = [500] * 6 + [200]
    deliver_all()
    path = f"/webhooks/{hook['id']}/deliveries"
    answer = test_key.post(f"{path}/{sent}/redeliver", Idempotency_Key="again")
    assert answer.status_code == 201
    made = answer.json()
    old = row_of(sent)
    assert made["id"] != sent
    assert (made["redelivery_of"], made["event_id"], made["status"], made["attempts"]) == (
        sent,
        old.event_id,
        "pending",
        0,
    )
    assert test_key.post(f"{path}/{sent}/redeliver", Idempotency_Key="again").json() == made
    deliver_all()
    assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
    assert len({got.raw for got in receiver.got}) == 1
    assert [(d["id"], d["status"]) for d in test_key.get(path).json()["data"]] == [
        (made["id"], "succeeded"),
        (sent, "failed"),
    ]
    missing = test_key.post(f"{path}/whd_none/redeliver")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_a_delivery_of_another_webhook_is_not_found(test_key: Api, sent: str, receiver: Receiver) -> None:
    other = test_key.post("/webhooks", {"url": receiver.url}).json()
    assert test_key.post(f"/webhooks/{other['id']}/deliveries/{sent}/redeliver").status_code == 404


# --- the sender, on connections of its own


@pytest.fixture
def office(transactional_db: None, settings: Any) -> Iterator[Callable[[str], str]]:
    """office(url) registers a webhook and queues a test of it; committed, for other threads to see."""
    settings.WEBHOOK_ALLOW_LOOPBACK = True
    api = make_cast("posts").api(test=True)

    def order(url: str) -> str:
        made = api.post("/webhooks", {"url": url}).json()
        return str(api.post(f"/webhooks/{made['id']}/test").json()["id"])

    yield order
    if sender._sender is not None:
        both = threading.Barrier(sender.THREADS)
        closing = [
            sender._sender.threads.submit(lambda: (both.wait(), connections.close_all())) for _ in range(sender.THREADS)
        ]
        assert all(each.result(10) for each in closing)


def test_the_sender_of_a_worker_delivers(office: Callable[[str], str], receiver: Receiver) -> None:
    delivery = office(receiver.url)
    with silent() as nobody:
        stuck = [office(nobody) for _ in range(5)]
        for each in (*stuck, delivery, delivery):
            deliver(each, 0)
        until(lambda: row_of(delivery).status == "succeeded")
        assert {row_of(each).status for each in stuck} == {"pending"}
    until(lambda: all(row_of(each).reason for each in stuck))
    assert len(receiver.got) == 1


@pytest.mark.parametrize("endings", [("",), tuple(f"/{n}" for n in range(120))], ids=["one address", "one host"])
def test_a_hundred_deliveries_to_a_receiver_that_hangs_delay_no_other(
    office: Callable[[str], str], receiver: Receiver, endings: tuple[str, ...]
) -> None:
    first = office(receiver.url)
    with silent() as nobody:
        stuck = [again(office(f"{nobody}{ending}"), 120 // len(endings)) for ending in endings[:5]]
        hanging = [each for some in stuck for each in some]
        for ending in endings[5:]:
            hanging += again(hanging[0], 1, f"{nobody}{ending}")
        for each in (*hanging, first):
            deliver(each, 0)
        until(lambda: row_of(first).status == "succeeded")
        assert len(hanging) >= 120  # more than there are places
        assert {row_of(each).reason for each in hanging} == {None}  # nobody has given one of them up yet
    until(lambda: all(row_of(each).reason for each in hanging[:10]))
    until(lambda: not sender._sender or not sender._sender.in_hand)


def again(delivery_id: str, count: int, url: str | None = None) -> list[str]:
    """So many deliveries of the same message, to the same address or another one."""
    row = row_of(delivery_id)
    more = [outbox.new_delivery(row.event, url or row.url, endpoint=row.endpoint).id for _ in range(count)]
    return more if url else [delivery_id, *more[1:]]


def test_more_than_enough_for_one_address_is_left_to_the_clock(
    office: Callable[[str], str], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "MOST_TO_ONE", 3)
    with silent() as nobody:
        stuck = again(office(nobody), 8)
        for each in stuck:
            deliver(each, 0)
        assert sender._sender is not None
        until(lambda: sender._sender is not None and len(sender._sender.in_hand) == 3)
    until(lambda: sender._sender is not None and not sender._sender.in_hand)
    assert sum(row_of(each).attempts for each in stuck) == 3


def test_a_name_that_takes_for_ever_to_look_up_delays_no_other(
    office: Callable[[str], str], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread hangs on when the attempt has been given up."""
    over, real = threading.Event(), sending.check
    looking = []

    def check(url: str) -> Any:
        if "hangs" in url:
            looking.append(url)
            over.wait(30)
        return real(url)

    monkeypatch.setattr(sending, "check", check)
    first = office(receiver.url)
    stuck = again(office("https://hangs.test/hook"), 40)
    for each in (*stuck, first):
        deliver(each, 0)
    until(lambda: row_of(first).status == "succeeded")
    assert 0 < len(looking) <= 2
    over.set()
    until(lambda: sender._sender is not None and not sender._sender.in_hand)


def test_what_waits_behind_dead_receivers_is_in_hand_once(
    office: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock queues an attempt again each minute; it must not fill the memory of the worker."""
    with silent() as nobody:
        stuck = [office(nobody) for _ in range(3)]
        for each in stuck * 5:
            deliver(each, 0)
        assert sender._sender is not None
        assert sender._sender.in_hand == {(each, 0) for each in stuck}
        monkeypatch.setattr(sender, "MOST", 3)
        deliver(office(nobody), 0)
        assert sender._sender.in_hand == {(each, 0) for each in stuck}
    until(lambda: all(row_of(each).reason for each in stuck))
    until(lambda: not sender._sender.in_hand)


def test_two_workers_claim_an_attempt_once(office: Callable[[str], str], receiver: Receiver) -> None:
    for _ in range(10):
        delivery = office(receiver.url)
        gate, found = threading.Barrier(2), []

        def worker(delivery: str = delivery, gate: threading.Barrier = gate, found: list[Any] = found) -> None:
            gate.wait()
            found.append(outbox.claim(delivery, 0))
            connections.close_all()

        threads = [threading.Thread(target=worker) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert [attempt is None for attempt in sorted(found, key=lambda attempt: attempt is None)] == [False, True]


def test_the_example_of_the_docs_verifies(sent: str, hook: dict[str, Any], receiver: Receiver) -> None:
    """docs/webhooks.md shows receivers this code; it is run as it stands there."""
    from django.conf import settings

    page = (settings.BASE_DIR / "docs" / "webhooks.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    example: dict[str, Any] = {"base64": base64, "hashlib": hashlib, "hmac": hmac, "time": time}
    exec(code, example)
    deliver_due()
    (got,) = receiver.got
    headers = {name.title(): value for name, value in got.headers.items()}
    assert example["genuine"](headers["Countersign-Signature"], got.raw, hook["secret"])
    assert not example["genuine"](headers["Countersign-Signature"], got.raw + b" ", hook["secret"])
    assert not example["genuine"](headers["Countersign-Signature"], got.raw, "whsec_other")
    assert not example["genuine"]("nonsense", got.raw, hook["secret"])
