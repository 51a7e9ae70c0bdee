"""A deleted or tightened rule counts from its commit: an intent is written only by the rules as they are then (approvals.md 11)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import Team
from accounts.team.rules_version import rules_now, rules_still
from approvals.models import Approval, Policy
from approvals.policies import services
from runs import sql
from runs.driving import leases
from runs.models import Step
from tests.approvals.starters import ASKING, admin, decide, decider, policy_of, starter
from tests.cast import Api, Cast, make_cast
from tests.runs.driving import Inline, Once, begin, data_of, go, show, someone_waits_for_a_lock, until, waiting
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db


class Between(Inline):
    """A worker to which something happens right after its n-th ruling, before anything comes of it."""

    def __init__(self, happens: Callable[[], object], nth: int = 1) -> None:
        self.happens, self.left = happens, nth

    async def db(self, work: Callable[..., Any], *args: Any) -> Any:
        result = await super().db(work, *args)
        if work.__name__ == "rule":
            self.left -= 1
            if self.left == 0:
                await super().db(self.happens)
        return result


def driven_between(happens: Callable[[], object], nth: int = 1) -> None:
    for run_id, epoch in leases.claim(Inline.name, 50):
        go(Once(Between(happens, nth), run_id, epoch))
        leases.let_go(run_id, Inline.name, epoch)


def intents(run: dict[str, Any]) -> int:
    return Step.objects.filter(run_id=run["id"], skipped=False).count()


# What lets the actions of the run pass, how that is tightened, and what then becomes of the run.
def _allow(boss: Api) -> str:
    return policy_of(boss, tool="*")


TIGHTENED: dict[str, tuple[bool, Callable[[Api, str, str], Any]]] = {
    "deleted": (True, lambda boss, policy, _: boss.delete(f"/permissions/{policy}")),
    "made an ask": (True, lambda boss, policy, _: boss.patch(f"/permissions/{policy}", {"effect": "ask"})),
    "an ask beside it": (True, lambda boss, *_: boss.post("/permissions", {"tool": "click", "effect": "ask"})),
    "ask": (False, lambda boss, *_: boss.post("/permissions", {"tool": "click", "effect": "ask"})),
    "the floor": (False, lambda boss, *_: boss.patch("/team", {"risk_floor": ["write"], "risk_floor_modes": ["autonomous"]})),
    "the mode": (False, lambda boss, _, run: boss.patch(f"/runs/{run}/permission-mode", {"permission_mode": "approval"})),
}  # fmt: skip


@pytest.mark.parametrize("change", TIGHTENED)
def test_T_181_what_is_tightened_after_the_ruling_counts(cast: Cast, change: str) -> None:
    allowed, tighten = TIGHTENED[change]
    boss, api = admin(cast), decider(cast)
    policy = _allow(boss) if allowed else ""
    run = begin(api, "x [steps:3]", **(ASKING if allowed else {"human_in_the_loop": True}))
    answers: list[int] = []
    driven_between(lambda: answers.append(tighten(boss, policy, run["id"]).status_code))
    assert answers[0] in (200, 201, 204)
    assert (intents(run), show(api, run["id"])["status"]) == (0, "awaiting_human")
    check_run(run["id"])


@pytest.mark.parametrize("change", ["deny", "allow made a deny"])
def test_T_181_what_is_denied_after_the_ruling_is_not_done(cast: Cast, change: str) -> None:
    boss, api = admin(cast), decider(cast)
    policy = _allow(boss)
    run = begin(api, "x [steps:1]", **ASKING)
    driven_between(
        lambda: (
            boss.post("/permissions", {"tool": "click", "effect": "deny"})
            if change == "deny"
            else boss.patch(f"/permissions/{policy}", {"effect": "deny"})
        )
    )
    [result] = data_of(run["id"], "tool_result")
    assert (intents(run), result["skipped"]) == (0, True)
    check_run(run["id"])


def test_T_181_an_approval_does_not_outlast_a_deny(cast: Cast) -> None:
    boss, api = admin(cast), decider(cast)
    run = waiting(api, "x [steps:1]", **ASKING)
    assert starter(cast).post(f"/runs/{run['id']}/resume").status_code == 200
    driven_between(lambda: boss.post("/permissions", {"tool": "click", "effect": "deny"}))
    assert intents(run) == 0
    check_run(run["id"])


def test_a_request_is_opened_by_the_rules_as_they_are_then(cast: Cast) -> None:
    """Else the starter approves what by now needs somebody else."""
    boss, api = admin(cast), starter(cast)
    policy = policy_of(boss, tool="click", effect="ask")
    run = begin(api, "x [steps:1]")
    driven_between(lambda: boss.patch(f"/permissions/{policy}", {"four_eyes": True}))
    assert Approval.objects.get(run_id=run["id"]).four_eyes is True
    check_run(run["id"])


def test_a_plan_that_is_wanted_again_is_asked_for_first(cast: Cast) -> None:
    """There and back: the mode is the same word, but the plan is not approved any more."""
    api = decider(cast)
    run = waiting(api, "x [steps:2]", human_in_the_loop=True, permission_mode="plan")
    assert starter(cast).post(f"/runs/{run['id']}/resume").status_code == 200
    path = f"/runs/{run['id']}/permission-mode"

    def there_and_back() -> None:
        for mode in ("approval", "plan"):
            assert starter(cast).patch(path, {"permission_mode": mode}).status_code == 200

    driven_between(there_and_back)
    assert intents(run) == 0
    assert [a.kind for a in Approval.objects.filter(run_id=run["id"], status="pending")] == ["plan"]


def test_a_rule_of_the_other_world_or_of_another_team_disturbs_nobody(cast: Cast, strangers: Cast) -> None:
    api = decider(cast)
    run = begin(api, "x [steps:1]")
    before = [rules_now(cast.team.id, True, "autonomous").version]
    driven_between(lambda: [admin(who, test=test).post("/permissions", {"tool": "click", "effect": "deny"})
                            for who, test in ((cast, False), (strangers, True))])  # fmt: skip
    assert show(api, run["id"])["status"] == "succeeded"
    assert [rules_now(cast.team.id, True, "autonomous").version] == before
    assert len(data_of(run["id"], "tool_call")) == 1


VERSIONED: dict[str, Callable[[Api, str, dict[str, Any]], Any]] = {
    "create": lambda boss, *_: boss.post("/permissions", {"tool": "scroll", "effect": "deny"}),
    "update": lambda boss, policy, _: boss.patch(f"/permissions/{policy}", {"note": "n"}),
    "revoke": lambda boss, policy, _: boss.delete(f"/permissions/{policy}"),
    "remember": lambda boss, _, run: boss.post(
        f"/approvals/{run['open_approvals'][0]}/decide", {"verdict": "approve", "remember": True}
    ),
    "settings": lambda boss, *_: boss.patch("/team", {"risk_floor": []}),
}  # fmt: skip


@pytest.mark.parametrize("change", VERSIONED)
def test_every_change_of_the_rules_raises_the_version_once(cast: Cast, change: str) -> None:
    boss = admin(cast)
    run = waiting(decider(cast), "x [steps:1]", **ASKING)
    policy = policy_of(boss, tool="drag", effect="ask")
    before = rules_now(cast.team.id, True, "approval").version
    assert VERSIONED[change](boss, policy, run).status_code in (200, 201, 204)
    assert rules_now(cast.team.id, True, "approval").version == before + 1


def test_a_change_that_is_rolled_back_raises_nothing(cast: Cast) -> None:
    before = rules_now(cast.team.id, True, "approval").version
    with transaction.atomic():
        services.create(cast.actor("adam", test=True), tool="click", effect="ask")
        transaction.set_rollback(True)
    assert rules_now(cast.team.id, True, "approval").version == before


def test_undoing_what_was_remembered_counts_at_once(cast: Cast) -> None:
    Team.objects.update(undo_window_seconds=60)
    boss, api = admin(cast), decider(cast)
    other = waiting(api, "y [steps:1]", **ASKING)
    request = other["open_approvals"][0]
    decide(boss, request, remember=True)
    run = begin(api, "x [steps:1]", **ASKING)
    driven_between(lambda: boss.post(f"/approvals/{request}/undo"))
    assert (intents(run), show(api, run["id"])["status"]) == (0, "awaiting_human")


# --- who holds what


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["update", "revoke"])
def test_a_change_waits_for_an_intent_that_is_being_written_and_no_longer(change: str) -> None:
    """The intent holds the rules until its commit, counts the use of its policy and holds its money; whoever changes that policy is
    answered after that, and neither waits for the other."""
    cast = make_cast("acme")
    boss = cast.actor("adam", test=True)
    policy, _ = services.create(boss, tool="click", effect="allow")
    changes = {
        "update": lambda: services.update(boss, policy.id, {"effect": "ask"}),
        "revoke": lambda: services.revoke(boss, policy.id),
    }
    version = rules_now(cast.team.id, True, "approval").version
    held, going = threading.Event(), threading.Event()

    def write() -> None:
        with transaction.atomic():
            assert rules_still(cast.team.id, True, version)
            held.set()
            assert going.wait(20)
            services.count_use(policy.id)

    changed: list[object] = []
    with ThreadPoolExecutor(2) as pool:
        intent = pool.submit(_apart, write)
        assert held.wait(20)
        other = pool.submit(_apart, lambda: changed.append(changes[change]()))
        until(someone_waits_for_a_lock)
        assert not changed
        going.set()
        intent.result(20)
        other.result(20)
    assert (Policy.objects.get().uses, rules_now(cast.team.id, True, "approval").version) == (1, version + 1)


def _apart(work: Callable[[], object]) -> None:
    """In a thread with a connection of its own."""
    try:
        work()
    finally:
        connection.close()


def test_the_intent_is_one_statement_with_its_rules(cast: Cast) -> None:
    """ADR 0004: the version is no statement more."""
    from runs.driving import steps

    api = decider(cast)
    begin(api, "x [steps:1]")
    sent: list[str] = []
    kept = steps.prepared

    def noted(statement: str, values: Any) -> Any:
        sent.append(statement)
        return kept(statement, values)

    steps.prepared = noted
    try:
        driven_between(lambda: None)
    finally:
        steps.prepared = kept
    assert sent == [sql.INTENT, sql.OUTCOME]


def test_a_refused_intent_is_not_the_end_of_a_run(cast: Cast) -> None:
    """Many changes in a row: each time the agent's action is judged anew, and in the end it is done once."""
    boss, api = admin(cast), decider(cast)
    run = begin(api, "x [steps:2]")

    class Again(Between):
        async def db(self, work: Callable[..., Any], *args: Any) -> Any:
            result = await Inline.db(self, work, *args)
            if work.__name__ == "rule" and self.left:
                self.left -= 1
                await Inline.db(self, self.happens)
            return result

    for run_id, epoch in leases.claim(Inline.name, 50):
        go(
            Once(
                Again(lambda: boss.post("/permissions", {"tool": f"t{Policy.objects.count()}", "effect": "deny"}), 5),
                run_id,
                epoch,
            )
        )
    assert show(api, run["id"])["status"] == "succeeded"
    assert (intents(run), Policy.objects.count()) == (2, 5)
    check_run(run["id"])
