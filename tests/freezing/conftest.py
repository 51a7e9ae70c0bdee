"""A real terminal machine in which an agent left something running, and the hands of a person who takes control."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from machines.drivers import process
from machines.drivers.freezing import processes
from machines.drivers.registry import driver_for
from machines.models import Machine
from machines.processes import lifecycle
from tests.cast import Api, Cast
from tests.runs.driving import until
from tests.takeover.control import release, take


def work() -> None:
    """All queued work on machines, as a worker does it."""
    while row := next((row for row in OrmQ.objects.order_by("id") if row.func().startswith("machines.")), None):
        row.delete()
        import_string(row.func())(*row.args())


class Desk:
    """One machine, by the doors of the API and from outside."""

    def __init__(self, api: Api, kind: str = "terminal") -> None:
        self.api = api
        body = {"display_name": "Desk", "kind": kind, "screen_width": 800, "screen_height": 480}
        answer = api.post("/machines", body)
        assert answer.status_code == 200, answer.content
        self.id = answer.json()["id"]
        work()

    @property
    def row(self) -> Machine:
        return Machine.objects.get(id=self.id)

    @property
    def home(self) -> Path:
        return self.row.spec.folder / "home"

    def take(self, **fields: Any) -> dict[str, Any]:
        return take(self.api, self.id, **fields)

    def release(self, lease: dict[str, Any]) -> None:
        release(self.api, lease)

    def act(self, command: str, timeout_ms: int = 30_000, **params: Any) -> None:
        body = {"command": command, "params": params, "timeout_ms": timeout_ms}
        answer = self.api.post(f"/machines/{self.id}/actions", body)
        assert answer.status_code == 200, answer.content
        assert answer.json()["success"], answer.json()

    def type(self, text: str, timeout_ms: int = 30_000) -> None:
        self.act("type_text", timeout_ms, text=text)

    def exec(self, command: str) -> str:
        answer = self.api.post(f"/machines/{self.id}/terminal", {"command": command})
        assert answer.status_code == 200, answer.content
        return str(answer.json()["output"])

    def text(self) -> str:
        row = self.row

        async def read() -> str:
            session = await driver_for(row.kind).attach(row.spec, row.handle)
            try:
                return await session.text()
            finally:
                await session.close()

        return asyncio.run(read())

    def inside(self) -> tuple[processes.Proc, ...]:
        look = processes.look(process.recorded(self.row.handle), self.row.isolation)
        return look.rows if look else ()

    def running(self, words: str) -> list[processes.Proc]:
        """The processes inside whose command line has these words."""
        return [row for row in self.inside() if words in _command(row.pid)]

    def stands(self, words: str) -> bool:
        rows = self.running(words)
        assert rows, f"nothing runs {words}"
        return all(row.state == "T" for row in rows)

    def size(self, name: str) -> int:
        path = self.home / name
        return path.stat().st_size if path.exists() else 0

    def grows(self, name: str) -> None:
        before = self.size(name)
        until(lambda: self.size(name) > before)

    def meanwhile(self) -> None:
        """Time passes inside: a command of the person's own begins, lasts a while and ends."""
        name = f"meanwhile-{time.monotonic_ns()}"
        self.exec(f"sleep 0.3; touch {name}")
        assert (self.home / name).exists()


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def machines(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[None]:
    """Machines of this test are real and end with it; nobody listens to them and nobody asks for money."""
    settings.EVENT_SUBSCRIBERS, settings.MACHINE_GATE = {}, ""
    settings.MACHINES_DIR = tmp_path / "machines"
    yield
    lifecycle.stop_all_processes()


@pytest.fixture
def desk(machines: None, cast: Cast) -> Desk:
    return Desk(cast.api())


@pytest.fixture
def desk_behind_a_fence(machines: None, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("MACHINE_ISOLATION", "fence")
    desk = Desk(cast.api())
    assert desk.row.isolation == "fence"
    return desk
