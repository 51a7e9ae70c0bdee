"""Conversations that were ended because they were long: evidence, one file each, named by the SHA-256 of its bytes."""

import hashlib
import json
from typing import Any

from django.core.files.storage import default_storage

from database import stored_files
from runs.agents.model.agent_memory import as_text


def store(log: list[dict[str, Any]], facts: dict[str, Any]) -> str:
    """Keep the log and return its SHA-256 (hex). Raises OSError."""
    data = as_text({**facts, "log": log}).encode()
    sha = hashlib.sha256(data).hexdigest()
    stored_files.write(path_of(sha), data)
    return sha


def read(sha: str) -> dict[str, Any]:
    """Raises FileNotFoundError."""
    with default_storage.open(path_of(sha)) as file:
        log: dict[str, Any] = json.loads(file.read())
    return log


def path_of(sha: str) -> str:
    return f"transcripts/{sha[:2]}/{sha[2:]}.json"
