"""Who hears of an external request: webhooks, mails, open pages, the audit; and how long its log is kept."""

import json
from datetime import timedelta

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import Team
from approvals import clock
from approvals.external import log
from approvals.models import Approval, ApprovalEvent, Notice
from tests.approvals.external.asking import MAIL, NO, ask, asker, decide
from tests.approvals.external.test_deciding import pass_time
from tests.cast import Api, Cast
from tests.webhooks.conftest import receiver  # noqa: F401  a fixture here too
from tests.webhooks.receivers import Receiver, deliver_all, verify, verify_standard

pytestmark = pytest.mark.django_db


# --- webhooks


def told(receiver: Receiver) -> list[tuple[str, str | None, str]]:  # noqa: F811
    """(event, change, status) of what came in."""
    deliver_all()
    return sorted((each.event, each.body["change"], each.body["status"]) for each in receiver.got)


def test_its_own_address_hears_of_the_request_and_its_decision(cast: Cast, live: Api, receiver: Receiver) -> None:  # noqa: F811
    row = ask(asker(cast), webhook_url=receiver.url)
    decide(live, row)
    assert told(receiver) == [("approval.created", None, "pending"), ("approval.decided", "decided", "approved")]
    for each in receiver.got:
        verify(each, row["webhook_secret"])
        verify_standard(each, row["webhook_secret"])
        assert (each.body["approval_id"], each.body["run_id"], each.body["run"]) == (row["id"], None, None)
        assert each.body["approval"]["subject"]["type"] == "external"
        assert row["webhook_secret"] not in each.raw.decode()


def test_it_hears_that_nobody_answered_and_that_it_was_taken_back(cast: Cast, receiver: Receiver) -> None:  # noqa: F811
    program = asker(cast)
    late = ask(program, webhook_url=receiver.url, timeout_seconds=60)
    pass_time(late, 61)
    clock.expiries()
    back = ask(program, webhook_url=receiver.url)
    program.post(f"/approvals/{back['id']}/cancel")
    assert [each for each in told(receiver) if each[0] != "approval.created"] == [
        ("approval.cancelled", None, "cancelled"),
        ("approval.expired", None, "expired"),
    ]


def test_silence_that_decides_is_a_decision(cast: Cast, receiver: Receiver) -> None:  # noqa: F811
    row = ask(asker(cast), webhook_url=receiver.url, timeout_seconds=60, on_timeout="reject")
    pass_time(row, 61)
    clock.expiries()
    assert told(receiver)[-1] == ("approval.decided", "decided", "rejected")


def test_a_policy_that_answers_is_told_of_too(cast: Cast, live: Api, receiver: Receiver) -> None:  # noqa: F811
    live.post("/permissions", {"tool": "mail.send", "effect": "deny"})
    ask(asker(cast), webhook_url=receiver.url)
    assert told(receiver) == [("approval.created", None, "pending"), ("approval.decided", "decided", "rejected")]


def test_what_takes_its_place_is_told_to_the_same_address_with_the_same_secret(
    cast: Cast,
    receiver: Receiver,  # noqa: F811
) -> None:
    program = asker(cast)
    row = ask(program, external_id="a", webhook_url=receiver.url)
    new = ask(program, external_id="a", webhook_url=receiver.url, title="Another")
    assert new["webhook_secret"] is None
    assert [each[0] for each in told(receiver)] == ["approval.created"] * 2
    for each in receiver.got:
        verify(each, row["webhook_secret"])


def test_the_webhooks_of_the_team_hear_of_it(cast: Cast, live: Api, receiver: Receiver) -> None:  # noqa: F811
    events = ["approval.created", "approval.decided", "approval.cancelled"]
    live.post("/webhooks", {"url": receiver.url, "events": events})
    program = asker(cast)
    decide(live, ask(program), **NO)
    program.post(f"/approvals/{ask(program)['id']}/cancel")
    ask(asker(cast, test=True))
    assert [each[0] for each in told(receiver)] == [
        "approval.cancelled",
        "approval.created",
        "approval.created",
        "approval.decided",
    ]


def test_an_answer_shows_the_secret_of_its_webhooks_once(cast: Cast, live: Api, receiver: Receiver) -> None:  # noqa: F811
    program = asker(cast)
    row = ask(program, external_id="a", webhook_url=receiver.url)
    assert row["webhook_secret"].startswith("whsec_")
    assert ask(program, external_id="a", webhook_url=receiver.url)["webhook_secret"] is None
    for api in (program, live):
        assert row["webhook_secret"] not in json.dumps(api.get(f"/approvals/{row['id']}").json())


# --- mails


def test_those_who_may_decide_are_mailed_and_others_are_not(cast: Cast) -> None:
    Team.objects.update(forbid_self_approval="always")
    row = ask(asker(cast, owner="olga"))
    people = Notice.objects.filter(approval_id=row["id"]).values_list("user__name", flat=True)
    assert sorted(people) == ["Adam", "Ana"]


def test_what_a_policy_answers_is_mailed_to_nobody(cast: Cast, live: Api) -> None:
    live.post("/permissions", {"tool": "mail.send", "effect": "deny"})
    ask(asker(cast))
    assert not Notice.objects.exists()


def test_the_assignee_alone_is_mailed(cast: Cast) -> None:
    ask(asker(cast), assignee=cast.people["ana"].id)
    assert [notice.user.name for notice in Notice.objects.select_related("user")] == ["Ana"]


def test_what_takes_its_place_is_asked_again(cast: Cast) -> None:
    program = asker(cast)
    ask(program, external_id="a")
    new = ask(program, external_id="a", action=MAIL | {"params": {"to": "z"}})
    assert {notice.words for notice in Notice.objects.filter(approval_id=new["id"])} == {"Asked again"}


# --- open pages


@pytest.mark.django_db(transaction=True)
def test_open_pages_are_told_at_once(cast: Cast, live: Api) -> None:
    params = connection.get_connection_params()
    wanted = {name: params[name] for name in ("dbname", "user", "password", "host", "port") if name in params}
    with psycopg.connect(**wanted, autocommit=True) as listener:
        listener.execute("LISTEN team_events")
        row = ask(asker(cast))
        decide(live, row)
        payloads = [notice.payload for notice in listener.notifies(timeout=5, stop_after=2)]
    assert payloads == [f"{cast.team.id}:live/queue"] * 2


# --- the audit


def test_everything_that_was_done_stands_in_the_audit(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program, external_id="a")
    path = f"/approvals/{row['id']}"
    live.post(f"{path}/claim")
    live.post(f"{path}/comment", {"text": "Hm."})
    decide(live, row)
    program.put(f"{path}/result", {"outcome": "executed"})
    back = ask(program)
    program.post(f"/approvals/{back['id']}/cancel")
    page = cast.browser("bob").get("/audit").content.decode()
    for words in ("Claimed", "Commented on", "Approved", "Reported the result of", "Took back"):
        assert words in page


def test_another_team_sees_nothing_of_it(cast: Cast, strangers: Cast, live: Api) -> None:
    row = ask(asker(cast))
    live.post(f"/approvals/{row['id']}/claim")
    assert "Claimed" not in strangers.browser("olga").get("/audit").content.decode()


# --- how long it is kept


def test_the_log_goes_with_the_events_of_the_team_and_not_before_its_request_is_closed(cast: Cast, live: Api) -> None:
    program = asker(cast)
    closed, open_one = ask(program), ask(program)
    decide(live, closed)
    Team.objects.update(event_retention_days=30)
    assert log.sweep() == 0
    old = timezone.now() - timedelta(days=31)
    ApprovalEvent.objects.update(created_at=old)
    Approval.objects.filter(id=closed["id"]).update(resolved_at=old)
    assert log.sweep() == 1
    assert log.sweep() == 0
    kept = ApprovalEvent.objects.order_by("id").values_list("approval_id", "type")
    assert list(kept) == [(open_one["id"], "requested"), (closed["id"], "decided")]
    assert live.get(f"/approvals/{closed['id']}").json()["status"] == "approved"


def test_what_is_done_after_the_log_was_forgotten_is_numbered_on(cast: Cast, live: Api) -> None:
    """Whoever has read it up to a number misses nothing that comes then."""
    program = asker(cast)
    row = ask(program)
    path = f"/approvals/{row['id']}"
    live.post(f"{path}/comment", {"text": "Hm."})
    decide(live, row)
    old = timezone.now() - timedelta(days=100)
    ApprovalEvent.objects.update(created_at=old)
    Approval.objects.update(resolved_at=old)
    assert log.sweep() == 2
    live.post(f"{path}/comment", {"text": "Done?"})
    assert program.put(f"{path}/result", {"outcome": "executed"}).status_code == 200
    page = program.get(f"{path}/events?after=3&format=json").json()
    assert [(each["seq"], each["type"]) for each in page["data"]] == [(4, "comment"), (5, "result")]
