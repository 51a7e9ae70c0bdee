"""Answers of billing."""

from typing import Any

from billing.models import Transaction
from web.times import rfc3339


def transaction_object(row: Transaction) -> dict[str, Any]:
    """A ledger transaction with its two entries; debit_cents leave an account, credit_cents enter it."""
    return {
        "id": row.id, "object": "ledger.transaction", "type": row.type, "run_id": row.run_id, "step_index": row.step_index,
        "machine_id": row.machine_id, "key_id": row.key_id, "endpoint": row.endpoint,
        "amount_cents": row.amount_cents,
        "entries": [
            {"account": row.source, "debit_cents": row.amount_cents, "credit_cents": 0},
            {"account": row.target, "debit_cents": 0, "credit_cents": row.amount_cents},
        ],
        "available_after_cents": row.available_after_cents, "description": row.description,
        "created_by": row.created_by, "created_at": rfc3339(row.created_at),
    }  # fmt: skip
