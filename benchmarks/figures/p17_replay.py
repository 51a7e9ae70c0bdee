"""P17: a policy is tried on the newest 10,000 actions that people were asked about, of two sizes; beside it, reading these rows."""

import time
from collections.abc import Callable

from django.db import connection

from approvals.models import Approval
from approvals.policies.replay import replay
from approvals.policies.services import checked
from approvals.services import open_request
from benchmarks.bench import Bench
from benchmarks.table import Mark, Row, ms, percentile
from database.sql import prepared_all

ACTIONS, TAKEN = (10_000, 50), (9, 3)
SIZES = {"1 KB": 1_000, "16 KB": 16_000}
RULE = {
    "tool": "mail.send",
    "effect": "allow",
    "when": [
        {"path": "amount", "op": "gt", "value": 1800},
        {"path": "to.0.email", "op": "matches", "value": "^u1.*@shop\\.test$"},
    ],
}
_COPY = """
INSERT INTO approvals_approval ({names}) SELECT {values} FROM approvals_approval, generate_series(1, %(copies)s) n
WHERE id = %(id)s
"""
_ACTION = """action || jsonb_build_object('params', jsonb_build_object('amount', n %% 2000, 'body', repeat(md5(n::text), %(body)s / 32),
  'to', jsonb_build_array(jsonb_build_object('email', 'u' || n || '@shop.test'))))"""
_READ = "SELECT id, action FROM approvals_approval WHERE team_id = %(team)s AND test ORDER BY created_at DESC, id DESC"


def measure(bench: Bench) -> list[Row]:
    actor, copies = bench.scene.test, bench.of(*ACTIONS)
    fields, rows = checked(actor, RULE), []
    for words, size in SIZES.items():
        Approval.objects.all().delete()
        _fill(bench, copies, size)
        tried = _median(lambda: replay(actor, fields), bench.of(*TAKEN))
        read = _median(lambda: prepared_all(_READ, {"team": actor.team_id}), bench.of(*TAKEN))
        rows.append(
            Row(
                "P17",
                f"a policy tried on {copies} actions of {words}, p50",
                f"{ms(tried)} ms",
                f"reading them {ms(read)} ms",
                tried / read,
                "≤ 2 s",
                "≤ 500 ms",
                (Mark(tried, 2.0, 0.5),),
                {"p50_ms": tried * 1000, "read_ms": read * 1000},
            )
        )
    return rows


def _fill(bench: Bench, copies: int, size: int) -> None:
    first = open_request(
        team_id=bench.scene.team.id,
        test=True,
        run_id="run_0",
        root_run_id="run_0",
        kind="tool",
        title="Send a mail",
        message="",
        on_timeout="cancel",
        action={"name": "mail.send", "host": None, "risk": "write", "class": "irreversible", "read_only": False},
        context={"end_user": None, "started_by": bench.scene.live.ref(), "starter_owner_id": None},
    )
    changed = {
        "id": "id || '_' || n", "run_id": "'run_' || n", "root_run_id": "'run_' || n", "action": _ACTION,
        "created_at": "now() - n * interval '1 minute'",
    }  # fmt: skip
    columns = [field.column for field in Approval._meta.concrete_fields]
    names, values = ", ".join(f'"{name}"' for name in columns), ", ".join(changed.get(n, f'"{n}"') for n in columns)
    with connection.cursor() as cursor:
        cursor.execute(_COPY.format(names=names, values=values), {"copies": copies, "id": first.id, "body": size})
        Approval.objects.filter(id=first.id).delete()
        cursor.execute("ANALYZE approvals_approval")


def _median(work: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return percentile(taken, 50)
