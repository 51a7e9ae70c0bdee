"""Writing down what models were asked."""

from collections.abc import Iterable

from inference.models import Call
from inference.records import CallRecord


def record_calls(
    records: Iterable[CallRecord], *, team_id: str, test: bool, run_id: str | None = None, step_index: int | None = None
) -> None:
    """One row for each call, in the caller's transaction: that of the move that came of them."""
    Call.objects.bulk_create(
        Call(
            team_id=team_id,
            test=test,
            run_id=run_id,
            step_index=step_index,
            profile=r.profile,
            wire=r.wire,
            model=r.model,
            purpose=r.purpose,
            status=r.status,
            why=r.why,
            request_id=r.request_id,
            request_hash=r.request_hash,
            started_at=r.started_at,
            first_byte_at=r.first_byte_at,
            ended_at=r.ended_at,
            input_tokens=r.usage.input,
            cached_tokens=r.usage.cached,
            cache_written_tokens=r.usage.cache_written,
            output_tokens=r.usage.output,
            reasoning_tokens=r.usage.reasoning,
            cost_microcents=r.cost_microcents,
        )
        for r in records
    )
