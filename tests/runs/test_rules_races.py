"""T-181 with a worker at full speed: rules are tightened at any moment, and the database itself looks at each commit whether
the rules that were in force at that moment let its action pass."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from approvals.models import Approval
from runs.driving.loop import RunLoop
from runs.models import Step
from tests.approvals.starters import ASKING, admin, decider, policy_of, starter
from tests.cast import Api, Cast, make_cast
from tests.chance import ROUNDS
from tests.runs.driving import begin, status_of, until
from tests.runs.invariants import check_run

pytestmark = pytest.mark.django_db(transaction=True)
LONG = 500
Worker = Callable[[], RunLoop]

# A deferred trigger runs in the commit, with a snapshot of its own: what is revoked there was revoked before.
_WATCH = """
CREATE TABLE unlawful (call_id text);
CREATE FUNCTION note_unlawful() RETURNS trigger LANGUAGE plpgsql VOLATILE AS $$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM approvals_policy WHERE effect = 'allow' AND revoked_at IS NULL)
     OR EXISTS (SELECT 1 FROM approvals_policy WHERE effect <> 'allow' AND revoked_at IS NULL) THEN
    INSERT INTO unlawful VALUES (NEW.call_id);
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER watched AFTER INSERT ON runs_step DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
  WHEN (NEW.approval_id IS NULL AND NOT NEW.skipped) EXECUTE FUNCTION note_unlawful();
"""
_ENOUGH = "DROP TRIGGER watched ON runs_step; DROP FUNCTION note_unlawful(); DROP TABLE unlawful"


def _sql(text: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def watched(transactional_db: None) -> Iterator[None]:
    _sql(_WATCH)
    yield
    _sql(_ENOUGH)


@pytest.fixture
def team(watched: None, settings: Any) -> Cast:
    settings.RATE_LIMIT_PER_MINUTE = settings.RATE_LIMIT_RUNS_PER_MINUTE = 1_000_000
    return make_cast("acme")


def _passed(run_id: str) -> int:
    """Steps that no person approved: by the policy."""
    return Step.objects.filter(run_id=run_id, approval_id=None).count()


def _tighten(boss: Api, policy: str, way: int) -> list[str]:
    """Delete the allow, turn it into an ask, or make an ask or a deny beside it. Returns what is to be lifted afterwards."""
    if way == 0:
        assert boss.delete(f"/permissions/{policy}").status_code == 204
        return []
    if way == 1:
        assert boss.patch(f"/permissions/{policy}", {"effect": "ask"}).status_code == 200
        return [policy]
    return [policy, policy_of(boss, tool="*", effect="ask")]


def _rounds(team: Cast, rounds: int) -> None:
    boss, api, other, chance = admin(team), starter(team), decider(team), random.Random(181)
    run_id, passed = "", 0
    for n in range(rounds):
        if not run_id or Step.objects.filter(run_id=run_id).count() > 900:
            run_id = begin(api, "x [steps:1000]", max_steps=1000, **ASKING)["id"]
        until(lambda r=run_id: Approval.objects.filter(run_id=r, status="pending").exists())
        policy, before = policy_of(boss, tool="*"), _passed(run_id)
        assert other.post(f"/runs/{run_id}/resume").status_code == 200
        enough = before + chance.randint(1, 3)
        until(lambda r=run_id, e=enough: _passed(r) >= e)
        lifted = _tighten(boss, policy, (0, 0, 0, 1, 2)[n % 5])
        answered = _passed(run_id)
        until(lambda r=run_id: status_of(r) == "awaiting_human")
        assert _sql("SELECT * FROM unlawful") == [], n
        assert _passed(run_id) == answered, n
        passed += answered - before
        for each in lifted:
            boss.delete(f"/permissions/{each}")
    assert passed > rounds
    other.post(f"/runs/{run_id}/cancel")
    check_run(run_id)


def test_T_181_after_the_answer_no_intent_is_written_by_what_was_deleted(team: Cast, worker: Worker) -> None:
    worker()
    _rounds(team, max(30, 2 * ROUNDS))


@pytest.mark.slow
def test_T_181_five_hundred_rounds(team: Cast, worker: Worker) -> None:
    worker()
    _rounds(team, LONG)
