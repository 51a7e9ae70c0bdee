"""The server of models as the figures use it, and a profile that leads to it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx

from accounts.actor import Actor
from benchmarks.installation import ROOT, Installation
from inference.profiles.services import create_profile
from tests.emulator.server import PATHS


class Models:
    def __init__(self, address: str) -> None:
        self.address = address

    def profile(self, actor: Actor, wire: str, **limits: int) -> str:
        """A profile of this wire; its name."""
        values: dict[str, Any] = {
            "name": f"bench-{wire}",
            "wire": wire,
            "model": "bench-1",
            "key": "sk-bench-0123456789",
        }
        values |= {"base_url": self.address + PATHS[wire], "options": {}, "prices": {"input": 300, "output": 1500}}
        return create_profile(replace(actor, kind="system"), values | {"limits": limits}).name

    def times(self) -> list[tuple[float, float]]:
        """(when a request had come, when its answer had gone) of each since this was asked last."""
        return [(came, gone) for came, gone in httpx.get(f"{self.address}/times").json()]

    def gaps(self) -> list[float]:
        """Of one conversation: the seconds from each answer to the next request."""
        times = self.times()
        return [came - gone for (_, gone), (came, _) in pairwise(times)]


@contextmanager
def models(here: Installation, *words: str) -> Iterator[Models]:
    """`words`: what the server is started with (server.py)."""
    command = [sys.executable, "-m", "benchmarks.models.server", *words]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    here.children.append(child)
    assert child.stdout is not None
    try:
        yield Models(child.stdout.readline().decode().strip())
    finally:
        here.end(child)
        child.stdout.close()
