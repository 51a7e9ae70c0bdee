"""What isolates a machine is said on its object: of its process, or of the one that a start would make."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from machines.drivers.isolation import fence, sandbox
from machines.drivers.isolation.sandbox import of_machine
from machines.models import Machine
from tests.machines.conftest import Caller

without_fence = pytest.mark.skipif(fence.problem() is not None, reason=f"no fence on this computer: {fence.problem()}")


def shown(caller: Caller, machine_id: str) -> str:
    answer = caller.get(f"/machines/{machine_id}").json()
    listed = next(one for one in caller.get("/machines").json()["data"] if one["id"] == machine_id)
    assert answer["isolation"] == answer["machine"]["isolation"] == listed["isolation"]
    return str(answer["isolation"])


def test_a_simulated_machine_has_none(test_world: Caller) -> None:
    assert shown(test_world, test_world.machine(kind="terminal")["id"]) == "none"


@without_fence
def test_before_the_first_start_it_is_what_a_start_would_give(live: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    made = live.machine(kind="terminal")
    assert made["isolation"] == sandbox.choose("terminal")
    monkeypatch.setenv("MACHINE_ISOLATION", "fence")
    assert shown(live, made["id"]) == "fence"
    monkeypatch.setenv("MACHINE_ALLOW_UNSANDBOXED", "1")
    monkeypatch.setenv("MACHINE_ISOLATION", "none")
    assert shown(live, made["id"]) == "none"


@without_fence
def test_a_running_machine_keeps_what_it_was_started_with(
    real: None, live: Caller, work: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MACHINE_ISOLATION", "fence")
    made = live.machine(kind="terminal")
    work()
    assert Machine.objects.get(id=made["id"]).status == "running"
    monkeypatch.setenv("MACHINE_ISOLATION", "bubblewrap")
    assert shown(live, made["id"]) == "fence"
    look = live.post(f"/machines/{made['id']}/terminal", {"command": "curl -s http://127.0.0.1/ || echo closed"}).json()
    assert "closed" in look["output"]


def test_where_nothing_isolates_a_machine_it_is_not_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MACHINE_ISOLATION", "nonsense")
    assert "nonsense" in str(sandbox.problem("terminal"))
    assert of_machine("terminal", {}) == "none"


@pytest.mark.parametrize(
    ("handle", "expected"),
    [({"sandboxed": True}, "bubblewrap"), ({"sandboxed": False}, "none"), ({"isolation": "fence"}, "fence")],
)
def test_handles_of_before_are_understood(handle: dict[str, Any], expected: str) -> None:
    assert of_machine("terminal", handle) == expected


def test_the_sentence_of_the_fence_says_what_the_kernel_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fence.landlock, "abi", lambda: 7)
    assert "end processes" not in sandbox.sentence("fence")
    monkeypatch.setattr(fence.landlock, "abi", lambda: 5)
    assert "end processes" in sandbox.sentence("fence")
