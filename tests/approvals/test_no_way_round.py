"""No sequence of calls by a run's starter lets an action run that nobody else approved, whatever the calls are.

Between the starter's calls another person approves or rejects what is open, so that runs go on, and starts runs that the starter
may approve. The oracle reads the rows alone: each step that was done, and who decided what.
"""

import random
from typing import Any

import pytest
from django_q.models import OrmQ

from accounts.keys.owners import person_behind, person_named
from accounts.models import Team
from approvals import clock
from approvals.models import Approval, Decision, Policy
from machines.actions.canonical import READ_ONLY
from runs.models import Run, Step
from tests.approvals.starters import ASKING, WITHOUT, admin, decider, policy_of, starter
from tests.approvals.ways_round import MUTATING, Starter, pages
from tests.cast import Api, Cast
from tests.workflows.engine import work

pytestmark = pytest.mark.django_db
TIDY = 40  # calls, after which an admin cancels runs and lifts the policies that the starter made

# The team's rule, the policy in force, and whether the starter may approve each action by themself.
WORLDS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "four eyes": ("four_eyes", {"tool": "*", "effect": "ask", "four_eyes": True}, False),
    "always": ("always", {"tool": "*", "effect": "ask"}, False),
    "by mode": ("always", {}, False),
    "each by themself": ("four_eyes", {}, True),
}


class World:
    """A team with its rule, the starter and the two others."""

    def __init__(self, cast: Cast, name: str, seed: int) -> None:
        word, self.base, self.self_too = WORLDS[name]
        Team.objects.filter(id=cast.team.id).update(forbid_self_approval=word)
        self.chance = random.Random(seed)
        self.boss, self.other = admin(cast), decider(cast)
        self.policy = policy_of(self.boss, **self.base) if self.base else ""
        own = [starter(cast), cast.api(test=True, owner="alice", scopes=frozenset({*WITHOUT, "keys"}))]
        browser = cast.browser("alice", mode="test", team=cast.team.id)
        self.alice = Starter(cast, own, browser, self.chance)
        self.person = cast.people["alice"].id
        self.born: dict[str, str] = {}  # the modes in which top-level runs were started
        self.executed, self.checked = 0, 0  # actions of the starter's runs; the last step that was looked at

    def play(self, calls: int) -> None:
        for n in range(calls):
            self.alice.move()
            self._note_modes()
            if self.chance.random() < 0.4:
                self._another_decides()
            if self.chance.random() < 0.05:
                self.other.post("/runs", {"task": "y [steps:2]", **ASKING})
            if n % 10 == 0:
                clock.expiries()
            work()
            OrmQ.objects.all().delete()  # what only workers of their own would take, and would be looked through again and again
            self._check()
            if n % TIDY == TIDY - 1:
                self._tidy()

    def _note_modes(self) -> None:
        for run_id, mode in Run.objects.filter(parent=None, started_at=None).values_list("id", "permission_mode"):
            self.born.setdefault(run_id, mode)

    def _another_decides(self) -> None:
        rows = list(Approval.objects.filter(status="pending").order_by("-created_at")[:6])
        if rows:
            verdict = "reject" if self.chance.random() < 0.2 else "approve"
            body = {"decision": "allow" if verdict == "approve" else "deny"}
            row = self.chance.choice(rows)
            self.other.post(f"/approvals/{row.id}/release")
            if row.kind in ("plan", "takeover"):
                self.other.post(f"/approvals/{row.id}/decide", {"verdict": verdict})
            else:
                self.other.post(f"/runs/{row.run_id}/approve", {"request_id": row.id, **body})

    def _tidy(self) -> None:
        for run_id in Run.objects.filter(finished_at=None, parent=None).values_list("id", flat=True):
            self.boss.post(f"/runs/{run_id}/cancel")
        for row in Policy.objects.filter(revoked_at=None).exclude(id=self.policy):
            self.boss.delete(f"/permissions/{row.id}")
        if self.policy:
            Policy.objects.filter(id=self.policy).update(
                effect="ask", quorum=[], four_eyes=self.base.get("four_eyes", False), expires_at=None
            )

    # --- what must hold

    def _check(self) -> None:
        if self.policy:
            row = Policy.objects.get(id=self.policy)
            assert row.revoked_at is None, self._told()
            assert row.effect in ("ask", "deny"), self._told()
            assert row.four_eyes or not self.base.get("four_eyes"), self._told()
        fresh = list(Step.objects.filter(id__gt=self.checked).select_related("run").order_by("id"))
        own = [s for s in fresh if not s.skipped and person_behind(s.run.created_by, s.run.owner_id) == self.person]
        acted = [s for s in own if s.action["name"] not in READ_ONLY and (self.policy or self._asks(s.run))]
        self.executed, self.checked = self.executed + len(acted), max([self.checked, *(s.id for s in fresh)])
        for step in acted:
            assert self._approved(step), (step.run_id, step.index, self._told())

    def _asks(self, run: Run) -> bool:
        return self.born.get(run.root_id, "autonomous") != "autonomous"

    def _approved(self, step: Step) -> bool:
        """By somebody else: the action itself, or where nothing but the mode asks, the plan."""
        if step.approval_id:
            return self._by_another(Decision.objects.get(approval_id=step.approval_id, counts=True))
        plans = Decision.objects.filter(
            approval__run_id=step.run_id, approval__kind="plan", counts=True, verdict="approve", at__lte=step.started_at
        )
        return not self.policy and any(map(self._by_another, plans))

    def _by_another(self, decision: Decision) -> bool:
        return decision.verdict == "approve" and (self.self_too or person_named(decision.actor) != self.person)

    def _told(self) -> str:
        return "\n".join(self.alice.done[-30:])


@pytest.fixture(autouse=True)
def _no_rates(settings: Any) -> None:
    settings.RATE_LIMIT_PER_MINUTE = settings.RATE_LIMIT_RUNS_PER_MINUTE = 1_000_000


@pytest.mark.parametrize("name", WORLDS)
def test_nothing_runs_that_nobody_else_approved(cast: Cast, name: str) -> None:
    World(cast, name, seed=180).play(20)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_T_180_two_thousand_calls_let_nothing_run_that_nobody_else_approved(cast: Cast, name: str) -> None:
    world = World(cast, name, seed=2000)
    world.play(2000 // len(WORLDS))
    assert world.executed > 10, "others approved, and then it ran"
    routes = {f"{method} {path}" for method, path in MUTATING} | {f"page {path}" for path in pages()}
    assert routes - world.alice.tried == set(), "every call that changes anything was tried"


def test_the_oracle_sees_a_breach(cast: Cast) -> None:
    """An action that the starter approved by themself is told from one that somebody else approved."""
    world = World(cast, "each by themself", seed=1)
    api: Api = world.alice.keys[0]
    run = api.post("/runs", {"task": "x [steps:1]", **ASKING}).json()
    world._note_modes()
    work()
    assert api.post(f"/runs/{run['id']}/resume").status_code == 200
    work()
    world._check()
    assert world.executed == 1
    world.self_too, world.checked = False, 0
    with pytest.raises(AssertionError):
        world._check()
