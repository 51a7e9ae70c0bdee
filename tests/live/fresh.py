"""A fresh installation that several tests share, and calls with its printed keys."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from config.own_processes import wait_until
from tests.ops.test_up import Installation, installations, wait_for_ready


@dataclass
class Fresh:
    """A fresh installation and its printed keys."""

    base: str
    live: str
    test: str
    folder: Path
    installation: Installation

    def call(self, method: str, path: str, body: Any = None, key: str | None = None, **headers: str) -> httpx.Response:
        content = None if body is None else json.dumps(body).encode()
        sent = {"X-API-Key": key or self.live, "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(method, f"{self.base}{path}", content=content, headers=sent, timeout=20)

    def ok(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        answer = self.call(method, path, body, key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, run_id: str, key: str | None = None) -> Any:
        return self.ok("GET", f"/v1/runs/{run_id}", key=key)

    def reaches(self, run_id: str, *states: str, seconds: float = 30) -> Any:
        assert wait_until(lambda: self.run(run_id)["state"] in states, seconds, 0.1), self.run(run_id)
        return self.run(run_id)

    def machine(self, kind: str = "terminal") -> str:
        return next(m["id"] for m in self.ok("GET", "/v1/machines")["data"] if m["kind"] == kind)

    def shell(self, command: str) -> Any:
        return self.ok("POST", f"/v1/machines/{self.machine()}/terminal", {"command": command})

    def is_free(self) -> bool:
        return all(m["current_run_id"] is None for m in self.ok("GET", "/v1/machines")["data"])


def installed(kind: str = "terminal", **environment: str) -> Iterator[Fresh]:
    """Started with these variables, with a running machine of the kind; stopped with the generator."""
    starts = installations()
    one: Installation = next(starts)(**environment)
    wait_for_ready(one)
    live, test = (re.search(rf"cs_{world}_\S+", one.said) for world in ("live", "test"))
    assert live
    assert test
    made = Fresh(f"http://127.0.0.1:{one.port}", live[0], test[0], one.data_dir, one)

    def ready() -> bool:
        machines = made.ok("GET", "/v1/machines")["data"]
        return any(m["kind"] == kind and m["status"] == "running" for m in machines)

    assert wait_until(ready, 60, 0.1)
    yield made
    next(starts, None)
