"""The documents that a new workflow may begin with: the files in workflows/examples, as bodies of POST /v1/workflows."""

import functools
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "examples"


@functools.cache
def examples() -> dict[str, dict[str, Any]]:
    """By name of the file, in order of the names that people read."""
    documents = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    return dict(sorted(documents.items(), key=lambda item: str(item[1]["name"])))
