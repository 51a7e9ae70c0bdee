"""Direct calls in a real web process, with a model that hangs: a caller who leaves, and a process that is killed."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from billing import direct as billing
from billing.access import held
from billing.models import CallInHand, Transaction
from config.own_processes import wait_until
from inference.models import Call, Session
from tests.cast import Cast
from tests.emulator.server import Emulator, in_thread
from tests.emulator.story import Fault, Turn
from tests.inference.shots import profile, shot
from tests.live.web_process import Web, process_behind, web  # noqa: F401  a fixture here too

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
SECONDS = 20
BODY: dict[str, Any] = {"screenshot": shot(), "instruction": "Press OK"}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with in_thread(Emulator({"hangs": [Turn(fault=Fault(hang=True, times=0))]})) as found:
        yield found


@pytest.fixture
def address(web: Web, cast: Cast, emulator: Emulator) -> str:  # noqa: F811
    profile(base_url=emulator.url("compatible"))
    return web()


def leave(address: str, path: str, key: str, emulator: Emulator) -> None:
    """Call, wait until the call is with the model, and go."""
    before, sent = emulator.requests.total(), json.dumps(BODY).encode()
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /v1/{path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Length: {len(sent)}\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + sent)
        assert wait_until(lambda: emulator.requests.total() == before + 1, SECONDS)


def test_a_caller_who_leaves_ends_the_call_of_the_model(address: str, cast: Cast, emulator: Emulator) -> None:
    key = cast.api().key
    session = httpx.post(f"{address}/v1/sessions", headers={"X-API-Key": key}).json()["session_id"]
    for number, path in enumerate(("predict", f"sessions/{session}/predict"), 1):
        leave(address, path, key, emulator)
        assert wait_until(lambda: not CallInHand.objects.exists(), SECONDS)
        assert wait_until(lambda number=number: emulator.left == number, SECONDS)  # type: ignore[misc]
    assert held(cast.team.id) == 0
    assert Session.objects.get().busy is None
    assert list(Call.objects.values_list("status", flat=True)) == ["abandoned"] * 2


def test_what_a_killed_process_held_comes_back_by_the_clock(address: str, cast: Cast, emulator: Emulator) -> None:
    key = cast.api().key

    def call() -> None:
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{address}/v1/predict", json=BODY, timeout=SECONDS, headers={"X-API-Key": key})

    caller = threading.Thread(target=call)
    caller.start()
    assert wait_until(lambda: emulator.requests.total() == 1, SECONDS)
    os.kill(process_behind(address), signal.SIGKILL)
    caller.join(SECONDS)
    assert held(cast.team.id) == 5
    assert billing.release_lapsed() == 0  # it may still be answered
    CallInHand.objects.update(lapses_at=timezone.now() - timedelta(seconds=1))
    assert billing.release_lapsed() == 5
    assert held(cast.team.id) == 0
    assert list(Transaction.objects.order_by("created_at").values_list("type", flat=True))[1:] == ["hold", "release"]
