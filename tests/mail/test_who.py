"""Who gets a mail when a request opens, is undone, replaced or handed over."""

from typing import Any

import pytest

from accounts.models import Membership, Team
from approvals.answers.answer import Answer
from approvals.deciding import decide
from approvals.handling import assign
from approvals.models import Approval, MailSwitches, Notice
from approvals.undoing import undo
from tests.cast import Api, Cast, make_cast
from tests.mail.conftest import Ask, group, join
from tests.mail.post import carry, later, to, told
from tests.runs.driving import begin as begin_run
from tests.runs.driving import drive_all, simulated, waiting
from tests.takeover.control import drive_with, take

pytestmark = pytest.mark.django_db

# who starts the run, the team's rule, four_eyes of the request -> who is told
STARTED = [
    ("alice", "four_eyes", False, ["ana", "olga"]),
    ("ana", "never", True, ["ana", "olga"]),
    ("ana", "four_eyes", False, ["ana", "olga"]),
    ("ana", "four_eyes", True, ["olga"]),
    ("ana", "always", False, ["olga"]),
    ("olga", "always", True, ["ana"]),
]
ASKS_FOR_CLICKS = {"tool": "click", "effect": "ask"}


@pytest.mark.parametrize(("starter", "rule", "four_eyes", "expected"), STARTED)
def test_the_starter_is_not_told_where_self_approval_is_forbidden(
    cast: Cast, test_key: Api, starter: str, rule: str, four_eyes: bool, expected: list[str]
) -> None:
    Team.objects.update(forbid_self_approval=rule)
    assert test_key.post("/permissions", ASKS_FOR_CLICKS | {"four_eyes": four_eyes}).status_code == 201
    run = waiting(cast.api(test=True, owner=starter), "x [steps:1]")
    assert told(Approval.objects.get(run_id=run["id"])) == expected


# who of the team can be what; the table says who is told of a plain request
PEOPLE = [
    ("amy", ["admin"], True, True),
    ("pia", ["viewer", "approver"], True, True),
    ("ina", ["approver"], False, False),  # her account is switched off
    ("otto", ["operator", "viewer"], True, False),
    ("nora", [], True, False),
]


@pytest.mark.parametrize(("name", "roles", "active", "expected"), PEOPLE)
def test_deciding_roles_of_active_people(
    cast: Cast, strangers: Cast, ask: Ask, name: str, roles: list[str], active: bool, expected: bool
) -> None:
    join(cast, name, *roles, active=active)
    request = ask()
    assert (name in told(request)) is expected
    assert set(told(request)) - {name} == {"ana", "olga"}
    assert not Notice.objects.filter(user__email__endswith="@others.test").exists()


def test_everybody_gets_one_mail(ask: Ask) -> None:
    ask()
    letters = carry()
    assert to(letters) == ["ana", "olga"]
    assert [letter.to for letter in letters] == [[address] for (address,) in (letter.to for letter in letters)]
    later()
    assert carry() == []


# quorum -> who is told; finance is Ana and Bob (a viewer), security Olga and Ana
QUORUMS = [
    ([{"group": "finance", "count": 1}], ["ana"]),
    ([{"group": "security", "count": 1}], ["ana", "olga"]),
    ([{"group": "finance", "count": 1}, {"group": "anyone", "count": 1}], ["ana", "olga", "pia"]),
    ([{"group": "anyone", "count": 2}], ["ana", "olga", "pia"]),
]


@pytest.mark.parametrize(("quorum", "expected"), QUORUMS)
def test_a_quorum_of_groups_tells_their_members_who_may_decide(
    cast: Cast, test_key: Api, ask: Ask, quorum: list[dict[str, Any]], expected: list[str]
) -> None:
    join(cast, "pia", "approver")
    group(cast, "finance", "ana", "bob")
    group(cast, "security", "olga", "ana")
    assert test_key.post("/permissions", ASKS_FOR_CLICKS | {"quorum": quorum}).status_code == 201
    assert told(ask("x [steps:1]")) == expected


def test_a_shared_budget_is_lifted_by_admins_only(cast: Cast, live: Api) -> None:
    machine = live.post("/machines", {"display_name": "m", "kind": "simulated"}).json()["id"]
    Team.objects.update(budget_cents_month=12)
    run = waiting(live, "x", machine_id=machine, agent="scripted", on_budget="ask", human_in_the_loop=True)
    assert told(Approval.objects.get(run_id=run["id"], kind="budget")) == ["olga"]


def test_a_run_that_does_not_wait_tells_nobody(test_key: Api) -> None:
    test_key.post("/runs", {"task": "x [pause]", "on_awaiting_human": "fail"})
    drive_all()
    assert Approval.objects.get().status == "cancelled"
    assert not Notice.objects.exists()


def test_a_person_who_took_control_calls_for_nobody(live: Api) -> None:
    machine = simulated(live)
    begin_run(live, "x", machine_id=machine, agent="scripted")
    drive_with("write_outcome", lambda: take(live, machine))
    assert Approval.objects.get(status="pending").kind == "takeover"
    assert not Notice.objects.exists()


def test_an_agent_that_wants_a_person_to_take_over_calls_for_them(ask: Ask) -> None:
    assert told(ask("x [takeover]")) == ["ana", "olga"]


def test_an_undone_decision_tells_them_again(cast: Cast, ask: Ask) -> None:
    Team.objects.update(undo_window_seconds=60)
    request, ana = ask(), cast.actor("ana", test=True)
    carry()
    decide(ana, request, Answer("approve"))
    undo(ana, request.id)
    assert carry() == []  # within a minute of the first
    later()
    letters = carry()
    assert to(letters) == ["ana", "olga"]
    assert letters[0].subject == "[Test] Waits for you again: The agent asks for approval"


def test_a_request_that_takes_the_place_of_another_tells_them(ask: Ask, test_key: Api) -> None:
    request = ask("x [steps:1] [drift]", human_in_the_loop=True, permission_mode="approval")
    carry()
    later()
    test_key.post(f"/approvals/{request.id}/decide", {"verdict": "approve"})
    drive_all()
    request.refresh_from_db()
    assert request.status == "void"
    letters = carry()
    assert to(letters) == ["ana", "olga"]
    assert letters[0].subject.startswith("[Test] Asked again: ")


def test_handing_over_tells_the_person_and_not_who_did_it(cast: Cast, ask: Ask) -> None:
    pia = join(cast, "pia", "approver")
    request = ask()
    carry()
    later()
    for _ in range(2):  # the same hand-over twice is one
        assign(cast.actor("ana", test=True), request.id, pia.id)
    assert told(request, "assigned") == ["pia"]
    (letter,) = carry()
    assert letter.subject == "[Test] Ana handed it to you: The agent asks for approval"
    assign(cast.actor("pia", test=True), request.id, None)
    assign(cast.actor("pia", test=True), request.id, pia.id)
    assert told(request, "assigned") == ["pia"]


def test_handing_over_to_a_group_tells_its_deciding_members(cast: Cast, ask: Ask) -> None:
    finance = group(cast, "finance", "ana", "bob")
    request = ask()
    assign(cast.actor("olga", test=True), request.id, finance.id)
    assert told(request, "assigned") == ["ana"]
    assert Notice.objects.get(occasion__startswith="assigned").words == "Olga handed it to finance"


def test_who_left_in_between_gets_nothing(cast: Cast, ask: Ask) -> None:
    request = ask()
    Membership.objects.filter(user=cast.people["ana"]).delete()
    assert to(carry()) == ["olga"]
    dropped = Notice.objects.get(user=cast.people["ana"])
    assert (dropped.status, dropped.reason) == ("dropped", "The person may not decide it any more.")
    assert request.status == "pending"


def test_what_was_decided_in_between_is_not_mailed(cast: Cast, ask: Ask, test_key: Api) -> None:
    request = ask()
    test_key.post(f"/approvals/{request.id}/decide", {"verdict": "approve"})
    assert carry() == []
    assert set(Notice.objects.values_list("status", flat=True)) == {"dropped"}


# what Ana chose: waiting, reminders, only_mine -> is she told of a plain request, of one handed to her, to her group?
CHOSEN = [
    ((True, True, False), (True, True, True)),
    ((False, True, False), (False, False, False)),
    ((True, False, False), (True, True, True)),
    ((True, True, True), (False, True, True)),
    ((False, True, True), (False, False, False)),
]


@pytest.mark.parametrize(("chosen", "expected"), CHOSEN)
def test_switches(cast: Cast, ask: Ask, chosen: tuple[bool, ...], expected: tuple[bool, ...]) -> None:
    waits, reminders, only_mine = chosen
    ana = cast.people["ana"]
    MailSwitches.objects.create(user=ana, team=cast.team, waiting=waits, reminders=reminders, only_mine=only_mine)
    finance = group(cast, "finance", "ana")
    olga = cast.actor("olga", test=True)
    plain, hers, theirs = ask(), ask(), ask()
    assign(olga, hers.id, ana.id)
    assign(olga, theirs.id, finance.id)
    found = ("ana" in told(plain), "ana" in told(hers, "assigned"), "ana" in told(theirs, "assigned"))
    assert found == expected
    assert "olga" in told(plain)


def test_only_mine_counts_a_quorum_of_my_group(cast: Cast, test_key: Api, ask: Ask) -> None:
    MailSwitches.objects.create(user=cast.people["ana"], team=cast.team, only_mine=True)
    group(cast, "finance", "ana")
    quorum = [{"group": "finance", "count": 1}, {"group": "anyone", "count": 1}]
    test_key.post("/permissions", ASKS_FOR_CLICKS | {"quorum": quorum})
    assert told(ask("x [steps:1]")) == ["ana", "olga"]


def test_switches_of_one_team_say_nothing_of_another(cast: Cast, ask: Ask) -> None:
    other = make_cast("second")
    MailSwitches.objects.create(user=cast.people["ana"], team=other.team, waiting=False)
    assert told(ask()) == ["ana", "olga"]
