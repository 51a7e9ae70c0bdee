"""docs/ask.md, done by somebody who has only that page: its blocks run in order, at a web process as in production."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from approvals.models import Approval
from tests.cast import Api, Cast, make_cast
from tests.clients.test_shell import needs_programs
from tests.live.web_process import Web, web  # noqa: F401  a fixture

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ask.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def cast(transactional_db: None) -> Cast:
    return make_cast("readers")


@pytest.fixture
def _ana(cast: Cast) -> Iterator[None]:
    """She says yes to all that comes, and takes the first option."""
    api = cast.api(owner="ana", scopes=frozenset({"approvals:read", "approvals:decide"}))
    over = threading.Event()
    thread = threading.Thread(target=_say_yes, args=(api, over))
    thread.start()
    yield
    over.set()
    thread.join()


def _say_yes(api: Api, over: threading.Event) -> None:
    while not over.wait(0.1):
        for approval in Approval.objects.filter(status="pending"):
            options = [option["label"] for question in approval.questions for option in question["options"]]
            answer: Any = (
                {"verdict": "approve"} if not options else {"verdict": "answer", "answers": {"answer": options[0]}}
            )
            api.post(f"/approvals/{approval.id}/decide", answer)
    connections.close_all()


@pytest.fixture
def environment(cast: Cast, web: Web, tmp_path: Path) -> dict[str, str]:  # noqa: F811
    """A shell in which the package is installed and the first block was filled in."""
    command = tmp_path / "countersign"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m countersign "$@"\n')
    command.chmod(0o755)
    key = cast.api(scopes=frozenset({"approvals:request"})).key
    return os.environ | {
        "COUNTERSIGN_URL": web(), "COUNTERSIGN_API_KEY": key, "NO_PROXY": "127.0.0.1",
        "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "clients" / "python"),
    }  # fmt: skip


def run(command: list[str], environment: dict[str, str]) -> list[str]:
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout.splitlines()


@needs_programs
@pytest.mark.usefixtures("_ana")
def test_the_page_leads_from_curl_to_the_decorator(environment: dict[str, str]) -> None:
    curl, waiting, shell, command = blocks("bash")
    printed = run(["bash", "-euo", "pipefail", "-c", curl + waiting], environment)
    assert printed[0].startswith("apr_")
    assert '"status": "approved",' in "\n".join(printed)
    assert run(["bash", "-euo", "pipefail", "-c", shell], environment)[-1] == "deploying"
    assert run(["bash", "-euo", "pipefail", "-c", command], environment)[-1] == "main"
    assert Approval.objects.filter(external_request__external_id__startswith="deploy-", status="approved").count() == 2
    program, decorator = blocks("python")
    assert run([sys.executable, "-c", program], environment) == ["sending to ops@example.com", "red"]
    assert run([sys.executable, "-c", decorator], environment) == ["40 € for 2026-117"]
    assert Approval.objects.get(action__name="bank.transfer").decisions.get(counts=True).outcome == "executed"


def test_every_file_that_the_page_names_is_there() -> None:
    for path in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / "docs" / path).exists(), path
