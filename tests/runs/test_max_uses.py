"""An allow that is for so many actions lets exactly so many pass, whoever is at work at once (docs/policies.md)."""

from typing import Any

import pytest
from django.test import Client

from approvals.models import Approval, Policy
from approvals.policies.sentences import state_of
from runs.models import Step
from tests.approvals.external.asking import asker
from tests.approvals.starters import ASKING, admin, policy_of, starter
from tests.at_once import at_once
from tests.cast import Api, Cast, make_cast
from tests.runs.driving import Dying, begin, drive_all, drive_and_fall, show
from tests.runs.invariants import check_run
from tests.runs.test_rules_versions import driven_between

ALLOWED = {"tool": "click", "effect": "allow"}


@pytest.fixture
def boss(cast: Cast) -> Api:
    return admin(cast)


def passed(**of: Any) -> int:
    """Steps that no person approved: by the policy."""
    return Step.objects.filter(approval_id=None, skipped=False, **of).count()


@pytest.mark.django_db
def test_after_the_last_use_people_are_asked_again(cast: Cast, boss: Api) -> None:
    policy = policy_of(boss, tool="*", max_uses=2)
    run = begin(starter(cast), "x [steps:4]", **ASKING)
    drive_all()
    assert passed(run_id=run["id"]) == 2
    assert Approval.objects.get(run_id=run["id"]).step_index == 3
    row = boss.get(f"/permissions/{policy}").json()
    assert (row["uses"], row["max_uses"], state_of(Policy.objects.get())) == (2, 2, "used_up")
    check_run(run["id"])


@pytest.mark.django_db
def test_one_that_is_used_up_is_equal_to_none(cast: Cast, boss: Api) -> None:
    first = policy_of(boss, **ALLOWED, max_uses=1)
    assert boss.post("/permissions", {**ALLOWED, "max_uses": 1}).status_code == 200
    Policy.objects.update(uses=1)
    again = boss.post("/permissions", {**ALLOWED, "max_uses": 1})
    assert (again.status_code, again.json()["uses"]) == (201, 0)
    assert again.json()["id"] != first
    assert state_of(Policy.objects.get(id=first)) == "used_up"


@pytest.mark.django_db
def test_an_ask_made_of_it_goes_on_asking(cast: Cast, boss: Api) -> None:
    policy = policy_of(boss, **ALLOWED, max_uses=1)
    Policy.objects.update(uses=1)
    assert boss.patch(f"/permissions/{policy}", {"effect": "ask"}).status_code == 200
    run = begin(starter(cast), "x [steps:1]", human_in_the_loop=True, permission_mode="autonomous")
    drive_all()
    assert Approval.objects.get(run_id=run["id"]).policy_ids == [policy]


@pytest.mark.django_db
def test_the_last_use_taken_between_ruling_and_intent_is_judged_anew(cast: Cast, boss: Api) -> None:
    policy_of(boss, **ALLOWED, max_uses=1)
    run = begin(starter(cast), "x [steps:1]", **ASKING)
    driven_between(lambda: Policy.objects.update(uses=1))
    drive_all()
    assert (show(starter(cast), run["id"])["status"], passed()) == ("awaiting_human", 0)
    assert Policy.objects.get().uses == 1
    check_run(run["id"])


@pytest.mark.django_db
def test_a_worker_that_dies_before_its_intent_has_used_nothing(cast: Cast, boss: Api) -> None:
    policy_of(boss, **ALLOWED, max_uses=1)
    run = begin(starter(cast), "x [steps:1]", **ASKING)
    drive_and_fall(Dying("write_intent"))
    assert (Policy.objects.get().uses, passed()) == (0, 0)
    drive_all()
    assert (Policy.objects.get().uses, passed()) == (1, 1)
    check_run(run["id"])


@pytest.mark.django_db(transaction=True)
def test_T_189_of_many_runs_at_once_only_so_many_pass() -> None:
    cast = make_cast("acme")
    boss, api = admin(cast), starter(cast)
    policy_of(boss, **ALLOWED, max_uses=3)
    runs = [begin(api, "x [steps:1]", **ASKING)["id"] for _ in range(6)]
    at_once(*[lambda: drive_all(rounds=3)] * 3)
    drive_all()
    assert (passed(), Policy.objects.get().uses) == (3, 3)
    waiting = Approval.objects.filter(run_id__in=runs, status="pending").count()
    assert waiting == 3
    for run_id in runs:
        check_run(run_id)


@pytest.mark.django_db(transaction=True)
def test_of_runs_and_programs_at_once_only_so_many_pass() -> None:
    cast = make_cast("acme")
    boss, api, program = admin(cast), starter(cast), asker(cast)
    policy_of(boss, **ALLOWED, max_uses=3)
    for _ in range(4):
        begin(api, "x [steps:1]", **ASKING)
    body = {"kind": "tool", "title": "Click", "action": {"name": "click", "params": {}}}
    calls = [lambda: Api(program.key, Client()).post("/approvals", body)] * 4
    at_once(*[lambda: drive_all(rounds=3)] * 2, *calls)
    drive_all()
    programs = Approval.objects.exclude(external_request=None)
    assert passed() + programs.filter(status="approved").count() == Policy.objects.get().uses == 3
    assert Approval.objects.filter(status="pending").count() == 5
