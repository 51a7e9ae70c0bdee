"""Reminders after half and nine tenths of the time, once each, and the next group. Time passes by moving rows."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connections

from accounts.models import Team
from approvals import clock
from approvals.answers.answer import Answer
from approvals.deciding import decide
from approvals.errors import NotEligible
from approvals.handling import assign, extend
from approvals.mail import outbox, reminders
from approvals.models import Approval, MailSwitches, Notice
from approvals.undoing import undo
from tests.cast import Api, Cast, actor_of_key, make_cast
from tests.mail.conftest import Ask, group, join
from tests.mail.post import carry, later, to, told
from tests.runs.driving import begin, drive_all, shift

pytestmark = pytest.mark.django_db
HOUR = 3600


@pytest.fixture
def request_(ask: Ask) -> Approval:
    """A request that has an hour."""
    return ask(awaiting_human_timeout_seconds=HOUR)


def passes(request: Approval, minutes: float) -> int:
    """So many minutes go by, then the clock comes. How many requests were recalled."""
    shift(request.run_id, minutes * 60)
    return reminders.remind_due()


def counts(request: Approval) -> tuple[int, int]:
    request.refresh_from_db()
    return request.reminders, Notice.objects.filter(approval=request, occasion__startswith="reminder").count()


def test_after_half_and_nine_tenths_once_each(request_: Approval) -> None:
    carry()
    assert passes(request_, 29) == 0
    assert passes(request_, 2) == 1
    assert counts(request_) == (1, 2)
    assert passes(request_, 22) == 0
    assert passes(request_, 2) == 1
    assert counts(request_) == (2, 4)
    assert [passes(request_, 1), passes(request_, 1)] == [0, 0]
    assert counts(request_) == (2, 4)


def test_what_they_say(request_: Approval) -> None:
    carry()
    later()
    passes(request_, 31)
    letters = carry()
    assert to(letters) == ["ana", "olga"]
    assert letters[0].subject == "[Test] Half of the time is over: The agent asks for approval"
    assert "Time left   28 min, until " in letters[0].body
    later()
    passes(request_, 24)
    letters = carry()
    assert letters[0].subject == "[Test] Little time is left: The agent asks for approval"


def test_a_clock_that_stood_still_sends_only_the_last_one_it_missed(request_: Approval) -> None:
    assert passes(request_, 57) == 1
    assert counts(request_) == (2, 2)
    assert told(request_, "reminder 2") == ["ana", "olga"]
    assert passes(request_, 1) == 0


def test_a_clock_that_stood_still_until_the_end_reminds_nobody(request_: Approval) -> None:
    assert passes(request_, 61) == 0
    assert clock.expiries() == 1
    assert reminders.remind_due() == 0
    assert not Notice.objects.filter(occasion__startswith="reminder").exists()


def test_a_clock_set_back_repeats_nothing(request_: Approval) -> None:
    passes(request_, 31)
    assert passes(request_, -20) == 0
    assert passes(request_, 20) == 0
    assert counts(request_) == (1, 2)


def test_only_while_it_waits(request_: Approval, cast: Cast) -> None:
    decide(cast.actor("ana", test=True), request_, Answer("approve"))
    assert passes(request_, 31) == 0
    assert not Notice.objects.filter(occasion__startswith="reminder").exists()


def test_without_a_time_limit_there_are_none(ask: Ask) -> None:
    request = ask()
    assert request.remind_at is None
    assert passes(request, 1_000_000) == 0


@pytest.mark.django_db(transaction=True)
def test_two_clocks_at_once_send_each_once() -> None:
    cast = make_cast("acme")
    for _ in range(5):
        run = begin(cast.api(test=True), "x [pause]", awaiting_human_timeout_seconds=HOUR)
        drive_all()
        shift(run["id"], 31 * 60)
    start = threading.Barrier(3)

    def tick(_: int) -> int:
        start.wait(10)
        try:
            return reminders.remind_due()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(tick, range(3))) == 5
    assert Notice.objects.filter(occasion__startswith="reminder 1").count() == 15  # Adam, Ana and Olga
    assert set(Approval.objects.values_list("reminders", flat=True)) == {1}


# minutes gone, minutes added -> reminders that count as past, minutes until the next
EXTENDED = [
    (10, 60, 0, 50),  # 120 in all, half is 60
    (31, 60, 0, 29),
    (31, 10, 0, 4),  # 70 in all, half is 35
    (55, 5, 1, 3.5),  # 65 in all, nine tenths are 58.5
    (58, 60, 0, 2),
    (58, 2, 2, None),  # 62 in all, nine tenths are 55.8
]


@pytest.mark.parametrize(("gone", "added", "past", "ahead"), EXTENDED)
def test_more_time_counts_from_the_new_span(
    request_: Approval, cast: Cast, gone: float, added: int, past: int, ahead: float | None
) -> None:
    passes(request_, gone)
    extend(cast.actor("ana", test=True), request_.id, added * 60)
    assert reminders.remind_due() == 0
    request_.refresh_from_db()
    assert request_.reminders == past
    before = Notice.objects.count()
    if ahead is None:
        assert request_.remind_at is None
        return
    assert passes(request_, ahead - 0.5) == 0
    assert passes(request_, 1) == 1
    assert Notice.objects.count() == before + 2


def test_an_undone_decision_starts_a_new_span(request_: Approval, cast: Cast) -> None:
    Team.objects.update(undo_window_seconds=60)
    ana = cast.actor("ana", test=True)
    passes(request_, 55)
    decide(ana, request_, Answer("approve"))
    undo(ana, request_.id)  # 115 minutes in all, half is 57.5
    request_.refresh_from_db()
    assert (request_.reminders, reminders.remind_due()) == (0, 0)
    assert [passes(request_, 2), passes(request_, 1)] == [0, 1]


def test_reminders_can_be_switched_off(request_: Approval, cast: Cast) -> None:
    MailSwitches.objects.create(user=cast.people["ana"], team=cast.team, reminders=False)
    passes(request_, 31)
    assert told(request_, "opened") == ["ana", "olga"]
    assert told(request_, "reminder") == ["olga"]


def test_only_whom_it_was_handed_to_is_reminded(request_: Approval, cast: Cast) -> None:
    assign(cast.actor("olga", test=True), request_.id, cast.people["ana"].id)
    passes(request_, 31)
    assert told(request_, "reminder") == ["ana"]


def test_when_whom_it_was_handed_to_has_left_the_others_are_reminded(request_: Approval, cast: Cast) -> None:
    assign(cast.actor("olga", test=True), request_.id, cast.people["ana"].id)
    cast.people["ana"].memberships.all().delete()
    passes(request_, 31)
    assert told(request_, "reminder") == ["olga"]


def test_who_has_voted_is_not_reminded(cast: Cast, test_key: Api, ask: Ask) -> None:
    quorum = [{"group": "anyone", "count": 2}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum})
    request = ask("x [steps:1]", awaiting_human_timeout_seconds=HOUR)
    decide(cast.actor("ana", test=True), request, Answer("approve"))
    passes(request, 31)
    assert told(request, "reminder") == ["olga"]


# --- the next group


def test_the_next_group_hears_of_what_a_group_left_unanswered(request_: Approval, cast: Cast) -> None:
    for name in ("pia", "paul"):
        join(cast, name, "approver")
    security = group(cast, "security", "pia", "bob", "ana")
    finance = group(cast, "finance", "ana", "paul", after=security)
    assign(cast.actor("olga", test=True), request_.id, finance.id)
    carry()
    later()
    passes(request_, 31)
    assert told(request_, "reminder") == ["ana", "paul"]
    assert told(request_, "next") == []
    passes(request_, 24)
    assert told(request_, "next") == ["pia"]  # Bob may not decide, Ana was reminded herself
    letters = {letter.to[0]: letter.subject for letter in carry()}
    assert letters["pia@acme.test"] == "[Test] Nobody of finance has answered yet: The agent asks for approval"
    passes(request_, 2)
    assert told(request_, "next") == ["pia"]


def test_the_next_group_of_a_quorum(cast: Cast, test_key: Api, ask: Ask) -> None:
    join(cast, "pia", "approver")
    security = group(cast, "security", "pia", "olga")
    group(cast, "finance", "ana", after=security)
    quorum = [{"group": "finance", "count": 1}, {"group": "security", "count": 1}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum})
    request = ask("x [steps:1]", awaiting_human_timeout_seconds=HOUR)
    decide(cast.actor("olga", test=True), request, Answer("approve"))  # security has answered
    passes(request, 55)
    assert told(request, "reminder") == ["ana"]
    assert told(request, "next") == ["pia"]  # she may vote in place of finance; Olga has voted


def test_T_183_the_next_group_votes_in_place_of_the_one_it_came_from(cast: Cast, test_key: Api, ask: Ask) -> None:
    for name in ("pia", "paul", "nina"):
        join(cast, name, "approver")
    far = group(cast, "far", "nina")
    security = group(cast, "security", "pia", after=far)
    group(cast, "finance", "ana", after=security)
    group(cast, "owners", "olga")
    quorum = [{"group": "finance", "count": 1}, {"group": "owners", "count": 1}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum})
    request = ask("x [steps:1]", awaiting_human_timeout_seconds=HOUR)
    pia, approve = cast.actor("pia", test=True), Answer("approve")
    passes(request, 31)
    with pytest.raises(NotEligible):
        decide(pia, request, approve)  # half of the time is over: it is still theirs
    passes(request, 24)
    for name in ("paul", "nina"):  # of no group, of the one after the next
        with pytest.raises(NotEligible):
            decide(cast.actor(name, test=True), request, approve)
    assert decide(pia, request, approve).decision is None
    votes = test_key.get(f"/approvals/{request.id}").json()
    assert [(need["group"], need["approved"]) for need in votes["quorum"]] == [("finance", 1), ("owners", 0)]
    with pytest.raises(NotEligible):
        decide(cast.actor("ana", test=True), request, approve)  # her place is taken
    assert decide(cast.actor("olga", test=True), request, approve).approval.status == "approved"


def test_T_183_what_went_on_stays_with_the_next_group_when_its_time_is_moved(
    cast: Cast, test_key: Api, ask: Ask
) -> None:
    join(cast, "pia", "approver")
    group(cast, "finance", "ana", after=group(cast, "security", "pia"))
    quorum = [{"group": "finance", "count": 1}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum})
    request = ask("x [steps:1]", awaiting_human_timeout_seconds=HOUR)
    passes(request, 55)
    extend(cast.actor("olga", test=True), request.id, HOUR)
    assert decide(cast.actor("pia", test=True), request, Answer("approve")).approval.status == "approved"


@pytest.mark.parametrize("minutes", [0, 55])
@pytest.mark.parametrize("verdict", ["approve", "reject"])
def test_T_183_rejecting_is_open_to_who_is_in_no_lacking_group(
    cast: Cast, test_key: Api, ask: Ask, minutes: int, verdict: str
) -> None:
    paul = join(cast, "paul", "approver")
    group(cast, "finance", "ana", after=group(cast, "security", "olga"))
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": [{"group": "finance", "count": 1}]})
    for caller in (cast.actor("paul", test=True), actor_of_key(cast.api(test=True, owner="paul").key)):
        assert caller.owner_id == paul.id
        request = ask("x [steps:1]", awaiting_human_timeout_seconds=HOUR)
        passes(request, minutes)
        if verdict == "approve":
            with pytest.raises(NotEligible):
                decide(caller, request, Answer("approve"))
        else:
            assert decide(caller, request, Answer("reject")).approval.status == "rejected"


def test_the_next_group_follows_its_switches(request_: Approval, cast: Cast) -> None:
    pia = join(cast, "pia", "approver")
    finance = group(cast, "finance", "ana", after=group(cast, "security", "pia"))
    assign(cast.actor("olga", test=True), request_.id, finance.id)
    MailSwitches.objects.create(user=pia, team=cast.team, only_mine=True)
    passes(request_, 55)
    assert told(request_, "next") == ["pia"]  # it is hers from now on
    assert outbox.queue_due() >= 0


def test_a_next_group_that_wants_no_mail_gets_none(request_: Approval, cast: Cast) -> None:
    pia = join(cast, "pia", "approver")
    finance = group(cast, "finance", "ana", after=group(cast, "security", "pia"))
    assign(cast.actor("olga", test=True), request_.id, finance.id)
    MailSwitches.objects.create(user=pia, team=cast.team, waiting=False)
    passes(request_, 55)
    assert told(request_, "next") == []
