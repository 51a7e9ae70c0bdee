"""A real terminal machine at the door, and what runs and people do to it."""

from pathlib import Path
from typing import Any

from approvals.models import Approval
from machines.drivers.base import Action, ActResult, Session
from machines.models import Machine
from machines.processes.sessions import with_session
from runs.agents.base import Act, Context, Finish
from runs.agents.base import Decision as Move
from runs.agents.scripted import ScriptedAgent
from tests.cast import Api
from tests.runs.driving import drive_all, ended
from tests.takeover.control import release, take


class Terminal:
    """A real terminal machine of a team, as its API offers it; `home` is the machine's home folder."""

    def __init__(self, api: Api, machine_id: str, folder: Path) -> None:
        self.api, self.id = api, machine_id
        self.home = folder / machine_id / "home"

    def act(self, name: str, lease: dict[str, Any] | None = None, /, **params: Any) -> dict[str, Any]:
        body = {"command": name, "parameters": params, "timeout_ms": 5000, "lease_id": lease["id"] if lease else None}
        answer = self.api.post(f"/machines/{self.id}/actions", body)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def shell(self, command: str) -> str:
        """Beside the visible shell, also while a run has the machine."""

        async def run(session: Session) -> str:
            return (await session.terminal(command, 10_000)).output

        return with_session(Machine.objects.get(id=self.id), run, 20)

    def folder_and_script(self) -> None:
        """A folder that a careless line would take away, and a script to run."""
        self.shell("mkdir old; touch old/kept; printf '#!/bin/sh\\necho built >> log\\n' > build; chmod +x build")

    def only_the_script_ran(self) -> bool:
        return self.shell("cat log; ls -d build old/kept") == "built\nbuild\nold/kept\n"


def run(terminal: Terminal, task: str, **fields: Any) -> dict[str, Any]:
    return ended(terminal.api, task, machine_id=terminal.id, agent="playbook", **fields)


def approve(api: Api, run: dict[str, Any], **body: Any) -> Approval:
    approval = Approval.objects.get(run_id=run["id"], status="pending")
    answer = api.post(f"/approvals/{approval.id}/decide", {"verdict": "approve", **body})
    assert answer.status_code == 200, answer.content
    drive_all()
    approval.refresh_from_db()
    return approval


def type_by_takeover(terminal: Terminal, text: str) -> None:
    lease = take(terminal.api, terminal.id)
    terminal.act("type_text", lease, text=text)
    release(terminal.api, lease, resume=False)


def type_by_direct_action(terminal: Terminal, text: str) -> None:
    """As by somebody whom the run does not keep off: the session itself, without the door."""

    async def typed(session: Session) -> ActResult:
        return await session.act(Action("type_text", {"text": text}, 5000))

    with_session(Machine.objects.get(id=terminal.id), typed, 10)


class Bare(ScriptedAgent):
    """An agent without words of its own: does these actions one after the other, as a model would."""

    def __init__(self, *actions: Action) -> None:
        self.actions = actions

    async def next(self, context: Context, session: Any) -> Move:
        at = context.step_index - 1
        move = Act(self.actions[at]) if at < len(self.actions) else Finish(True, "done")
        return Move(move, {})
