"""What a decision is bound to: the action's hash (docs/api/approvals.md section 10)."""

import hashlib
import json
from typing import Any


def action_hash(machine_id: str, name: str, params: dict[str, Any]) -> str:
    """SHA-256 (hex) of the action as canonical JSON. `machine_id`: "" where no machine of ours carries it out."""
    return json_hash({"machine_id": machine_id, "name": name, "params": params})


def json_hash(value: Any) -> str:
    """SHA-256 (hex) of canonical JSON: keys sorted, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
