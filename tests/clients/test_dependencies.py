"""The package needs nothing but Python; an adapter needs its framework too. It is a program of its own: nothing of the product."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import countersign

FRAMEWORKS = {"browser_use": "browser_use", "langgraph": "langgraph", "openai_agents": "agents", "mcp_tasks": "mcp"}
FOLDER = Path(countersign.__file__).parent


def imported(path: Path) -> Iterator[str]:
    """The top names of everything that the module imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


def test_only_adapters_need_more_than_python() -> None:
    own = sys.stdlib_module_names | {"countersign"}
    needs = {path.stem: set(imported(path)) - own for path in sorted(FOLDER.glob("*.py"))}
    assert {name: more for name, more in needs.items() if more} == {name: {it} for name, it in FRAMEWORKS.items()}
