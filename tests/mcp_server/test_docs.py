"""docs/mcp.md says what the tools are, and its examples run."""

import asyncio
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mcp_server.tools import TOOLS
from tests.cast import Cast
from tests.live.web_process import Web

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mcp.md"


def section(number: int) -> str:
    return re.split(r"^## \d\. ", PAGE.read_text(), flags=re.MULTILINE)[number]


def example(number: int, language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", section(number), re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("name", TOOLS)
def test_the_page_names_each_tool_its_arguments_and_its_scopes(name: str) -> None:
    (row,) = [line for line in section(2).splitlines() if line.startswith(f"| `{name}`")]
    _, _, arguments, scopes, _ = row.split("|")
    fields = TOOLS[name].arguments.model_fields
    expected = [field if info.is_required() else f"{field}?" for field, info in fields.items()]
    assert re.findall(r"`([a-z_]+\??)`", arguments) == expected
    assert re.findall(r"`([a-z:]+)`", scopes) == list(TOOLS[name].scopes)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_examples_run(web: Web, key: str, capfd: pytest.CaptureFixture[str]) -> None:
    address, there = web(), dict[str, Any]()
    exec(example(5, "python").replace('"wait": 30', '"wait": 1'), there)
    asyncio.run(there["main"](f"{address}/mcp", key))
    assert capfd.readouterr().out == "pending\n"
    environment = os.environ | {"COUNTERSIGN_URL": address, "COUNTERSIGN_API_KEY": key}
    script = example(6, "sh").replace('"wait": 30', '"wait": 1')
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert '"status":"pending"' in done.stdout


@pytest.fixture
def key(transactional_db: None, cast: Cast) -> str:
    return cast.api(test=True, scopes=frozenset({"approvals:request"})).key
