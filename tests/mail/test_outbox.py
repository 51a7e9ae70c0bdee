"""The outbox: nothing twice, no storm, and a mail server that is broken, slow or refuses leaves the run untouched."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.db import connections, transaction
from django.utils import timezone
from django_q.models import OrmQ

from accounts.models import Team
from approvals.mail import outbox, sender
from approvals.models import Approval, MailSwitches, Notice
from approvals.tasks import send_mail
from runs.models import Run
from tests.cast import Api, Cast, make_cast
from tests.mail.conftest import Ask, join
from tests.mail.post import carry, closed_port, later, mail_server, silent_server, to, use_server
from tests.pages.conftest import Visit, text
from tests.runs.driving import begin, drive_all, status_of, until
from tests.runs.invariants import check_run
from web.mail_server import Outcome

pytestmark = pytest.mark.django_db


def tasks() -> int:
    return sum(each.task["func"] == "approvals.tasks.send_mail" for each in OrmQ.objects.all())


def notices() -> list[tuple[str, int, str | None]]:
    return list(Notice.objects.order_by("id").values_list("status", "attempts", "reason"))


# --- with the change, and never twice


def test_the_rows_and_the_task_are_there_with_the_request(ask: Ask) -> None:
    request = ask()
    rows = Notice.objects.filter(approval=request)
    assert [(row.status, row.occasion, row.attempts) for row in rows] == [("pending", "opened 1", 0)] * 2
    assert tasks() == 1
    assert mail.outbox == []


def test_an_opening_that_is_undone_by_the_database_tells_nobody(ask: Ask, cast: Cast) -> None:
    request = ask()
    carry()
    before = Notice.objects.count(), tasks()
    with transaction.atomic():
        outbox.tell(request, [cast.people["bob"].id], "opened 2", "Waits for you")
        transaction.set_rollback(True)
    assert (Notice.objects.count(), tasks()) == before


def test_the_task_may_run_twice(ask: Ask) -> None:
    ask()
    assert len(carry()) == 2
    assert carry() == []
    assert [status for status, _, _ in notices()] == ["sent", "sent"]


def test_an_occasion_is_written_once(ask: Ask) -> None:
    request = ask()
    outbox.opened(request)
    assert Notice.objects.count() == 2


def test_a_letter_that_another_worker_writes_is_left_to_it(ask: Ask, cast: Cast) -> None:
    ask()
    ana = cast.people["ana"].id
    assert outbox.claim(ana) is not None
    assert outbox.claim(ana) is None
    assert to(carry()) == ["olga"]


def test_a_worker_that_died_leaves_the_letter_to_the_next_and_writes_nothing_when_it_comes_back(
    ask: Ask, cast: Cast
) -> None:
    ask()
    lost = outbox.claim(cast.people["ana"].id)
    assert lost is not None
    later(outbox.LEASE.total_seconds() + 1)
    assert to(carry()) == ["ana", "olga"]
    outbox.settle(lost, Outcome("too late"))
    assert [reason for _, _, reason in notices()] == [None, None]


def test_workers_that_die_in_every_attempt_end_it(ask: Ask, cast: Cast) -> None:
    ask()
    for _ in range(outbox.MOST_ATTEMPTS):
        assert outbox.claim(cast.people["ana"].id) is not None
        later(outbox.LEASE.total_seconds() + 1)
    assert outbox.claim(cast.people["ana"].id) is None
    row = Notice.objects.get(user=cast.people["ana"])
    assert (row.status, row.reason) == ("failed", "The worker stopped while it was being sent.")


@pytest.mark.django_db(transaction=True)
def test_several_workers_and_clocks_at_once_send_one_mail_each() -> None:
    cast = make_cast("acme")
    for number in range(4):
        join(cast, f"pia{number}", "approver")
    begin(cast.api(test=True), "x [pause]")
    drive_all()
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait(10)
        try:
            if number % 2:
                outbox.queue_due()
            sender.send_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert to(mail.outbox) == ["adam", "ana", "olga", "pia0", "pia1", "pia2", "pia3"]
    assert tasks() == 1


@pytest.mark.django_db(transaction=True)
def test_the_task_hands_over_to_a_thread_of_its_own() -> None:
    begin(make_cast("acme").api(test=True), "x [pause]")
    drive_all()
    send_mail()
    until(lambda: len(mail.outbox) == 3)
    until(lambda: not Notice.objects.filter(status="pending").exists())


# --- the clock


def test_the_clock_queues_what_no_worker_took(ask: Ask) -> None:
    ask()
    assert (outbox.queue_due(), tasks()) == (0, 1)
    later()
    assert (outbox.queue_due(), outbox.queue_due(), tasks()) == (2, 0, 2)
    assert len(carry()) == 2


def test_old_rows_are_forgotten_when_the_team_forgets_events(ask: Ask) -> None:
    ask()
    carry()
    ask()  # not sent yet: it stays whatever its age
    assert outbox.sweep() == 0
    Notice.objects.update(created_at=timezone.now() - timedelta(days=91))
    assert outbox.sweep() == 2
    assert set(Notice.objects.values_list("status", flat=True)) == {"pending"}


# --- no storm


def test_many_requests_at_once_are_one_mail_a_minute(ask: Ask, cast: Cast) -> None:
    first = ask("the first [pause]")
    assert to(carry()) == ["ana", "olga"]
    others = [ask(f"number {number} [pause]") for number in range(3)]
    assert carry() == []
    assert outbox.queue_due() == 0
    later(30)
    assert carry() == []
    later(31)
    letters = carry()
    assert to(letters) == ["ana", "olga"]
    body = letters[0].body
    assert letters[0].subject == "[Test] 3 requests wait for you"
    assert [f"number {number}" in body for number in range(3)] == [True] * 3
    assert "the first" not in body
    assert body.count("/d/") == 3
    assert first.status == others[0].status == "pending"
    later()
    assert carry() == []


def test_what_waits_for_a_minute_is_taken_up_by_the_clock(ask: Ask) -> None:
    ask()
    carry()
    ask()
    carry()
    queued = tasks()
    later()
    assert outbox.queue_due() == 2
    assert tasks() == queued + 1


def test_a_hundred_requests_are_one_mail_that_lists_the_most_urgent(ask: Ask, cast: Cast) -> None:
    request = ask()
    Notice.objects.all().delete()
    made = [
        Approval(team=cast.team, test=True, run_id=f"run_{n}", root_run_id=f"run_{n}", seq=1, kind="approval", title=f"No {n}",
                 message="", on_reject="fail_run", on_timeout="cancel", context=request.context,
                 expires_at=timezone.now() + timedelta(hours=n + 1))
        for n in range(99)
    ]  # fmt: skip
    for each in [*Approval.objects.bulk_create(made), request]:
        outbox.tell(each, [cast.people["ana"].id], "opened 1", "Waits for you")
    (letter,) = carry()
    assert letter.subject == "[Test] 100 requests wait for you"
    assert letter.body.count("/d/") == 30
    assert "And 70 more" in letter.body
    assert letter.body.index("No 0") < letter.body.index("No 1\n") < letter.body.index("No 29")
    assert not Notice.objects.exclude(status="sent").exists()


def test_two_news_of_one_request_are_one_entry(ask: Ask, cast: Cast) -> None:
    request = ask()
    outbox.tell(request, [cast.people["ana"].id], "assigned 2", "Olga handed it to you")
    letters = carry()
    assert sorted(letter.subject for letter in letters) == [
        "[Test] Olga handed it to you: The agent asks for approval",
        "[Test] Waits for you: The agent asks for approval",
    ]


def test_a_person_of_two_teams_still_gets_one_mail_a_minute(ask: Ask, cast: Cast) -> None:
    from accounts.models import Membership
    from tests.mail.conftest import group

    ask()
    second = make_cast("second")
    Membership.objects.create(user=cast.people["ana"], team=second.team, roles=["approver"])
    group(cast, "finance", "ana")
    begin(second.api(test=True), "elsewhere [pause]")
    drive_all()
    letters = [letter for letter in carry() if letter.to == ["ana@acme.test"]]
    assert [letter.subject for letter in letters] == ["[Test] 2 requests wait for you"]
    assert "Acme" in letters[0].body
    assert "Second" in letters[0].body


def test_switching_off_holds_for_what_is_not_sent_yet(ask: Ask, cast: Cast) -> None:
    ask()
    MailSwitches.objects.create(user=cast.people["ana"], team=cast.team, waiting=False)
    assert to(carry()) == ["olga"]


# --- a broken mail server


@pytest.fixture
def waits(ask: Ask) -> Iterator[Approval]:
    """A request whose run is looked at again after whatever befell the mail."""
    request = ask()
    before = Run.objects.filter(id=request.run_id).values().get()
    yield request
    assert Run.objects.filter(id=request.run_id).values().get() == before
    request.refresh_from_db()
    assert request.status == "pending"


def test_a_refused_connection_is_tried_again_and_stands_on_the_card(
    waits: Approval, settings: Any, visit: Visit
) -> None:
    use_server(settings, closed_port())
    why = "the mail server cannot be reached: connection refused"
    for attempt, pause in enumerate((60, 300, 1200), start=1):
        assert carry() == []
        assert notices() == [("pending", attempt, why)] * 2
        waiting = [
            (at - timezone.now()).total_seconds()
            for at in Notice.objects.values_list("next_attempt_at", flat=True)
            if at
        ]
        assert [pause - 10 < left <= pause for left in waiting] == [True, True]
        page = text(visit("bob").get(f"/approvals/{waits.id}"))
        assert f"E-mail to Ana not delivered: {why}. It is tried again." in page
        later(pause + 1)
    carry()
    assert notices() == [("failed", 4, why)] * 2
    page = text(visit("bob").get(f"/approvals/{waits.id}"))
    assert f"E-mail to Olga not delivered: {why}." in page
    assert "It is tried again" not in page
    later(3600)
    assert carry() == []


def test_the_run_goes_on_with_a_broken_mail_server(settings: Any, ask: Ask, test_key: Api) -> None:
    use_server(settings, closed_port())
    request = ask()
    carry()
    test_key.post(f"/approvals/{request.id}/decide", {"verdict": "approve"})
    drive_all()
    assert status_of(request.run_id) == "succeeded"
    check_run(request.run_id)
    later()
    carry()
    assert {status for status, _, _ in notices()} == {"dropped"}


def test_mail_that_arrives_later_is_no_trouble_any_more(waits: Approval, settings: Any, visit: Visit) -> None:
    use_server(settings, closed_port())
    carry()
    later()
    with mail_server() as server:
        use_server(settings, server.port)
        carry()
    assert sorted(str(got["To"]) for got in server.got) == ["ana@acme.test", "olga@acme.test"]
    assert "not delivered" not in text(visit("ana").get(f"/approvals/{waits.id}"))


def test_a_silent_server_is_asked_once_in_a_round(waits: Approval, settings: Any) -> None:
    with silent_server() as port:
        use_server(settings, port, timeout=0.2)
        carry()
    assert notices() == [("pending", 1, "the mail server broke off: timed out")] * 2


def test_an_address_that_is_refused_for_good_is_not_tried_again(waits: Approval, settings: Any) -> None:
    with mail_server() as server:
        use_server(settings, server.port)
        server.refuse = b"550 no such person"
        carry()
    assert notices() == [("failed", 1, "the mail server refuses the address: 550 no such person")] * 2


def test_an_address_that_is_refused_for_now_is_tried_again(waits: Approval, settings: Any) -> None:
    with mail_server() as server:
        use_server(settings, server.port)
        server.refuse = b"451 later"
        carry()
    assert notices() == [("pending", 1, "the mail server refuses the address: 451 later")] * 2


def test_an_address_that_breaks_a_header_is_a_failure_of_that_mail_only(waits: Approval, cast: Cast) -> None:
    ana = cast.people["ana"]
    ana.email = "ana@acme.test\nBcc: everybody@elsewhere.test"
    ana.save(update_fields=["email"])
    assert to(carry()) == ["olga"]
    (reason,) = [reason for _, _, reason in notices() if reason]
    assert reason.startswith("BadHeaderError: ")


def test_without_a_mail_server_the_card_says_so(waits: Approval, settings: Any, visit: Visit, capsys: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    carry()
    printed = capsys.readouterr().out
    assert printed.count("/d/") == 2
    assert "<html" not in printed
    page = text(visit("ana").get(f"/approvals/{waits.id}"))
    assert "E-mail to Ana not delivered: no mail server is set up (EMAIL_URL)" in page
    later()
    assert carry() == []
    assert capsys.readouterr().out == ""


def test_what_a_mail_server_says_is_text_on_the_card(waits: Approval, settings: Any, visit: Visit) -> None:
    with mail_server() as server:
        use_server(settings, server.port)
        server.refuse = "550 <script>alert(1)</script> \u202egnp".encode()
        carry()
    page = text(visit("ana").get(f"/approvals/{waits.id}"))
    assert "<script>alert" not in page
    assert "\u202e" not in page


def test_a_team_without_deciders_asks_all_the_same(cast: Cast, ask: Ask) -> None:
    Team.objects.update(forbid_self_approval="always")
    cast.people["ana"].memberships.update(roles=["viewer"])
    request = ask(by="olga")
    assert request.status == "pending"
    assert (Notice.objects.count(), tasks()) == (0, 0)
