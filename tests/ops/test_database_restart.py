"""PostgreSQL is killed under a running installation: callers are told to come again, or notice nothing."""

import os
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from config.own_processes import wait_until
from tests.ops.test_chaos import Caller, postmaster
from tests.ops.test_up import Start, start  # noqa: F401

pytestmark = [pytest.mark.chaos, pytest.mark.slow]
CALLS = 12


def test_no_call_is_answered_500_when_the_database_is_killed(
    start: Start,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RATE_LIMIT_PER_MINUTE", "1000000")
    installation = start()
    assert wait_until(installation.ready, 120), installation.said
    api = Caller(installation)
    api.get("/runs")
    seen: Counter[int] = Counter()

    def call(method: str) -> httpx.Response:
        return api.client.request(
            method, "/runs", json={"task": "x", "agent": "scripted"} if method == "POST" else None
        )

    with ThreadPoolExecutor(CALLS) as threads:
        for _ in range(2):
            assert {answer.status_code for answer in threads.map(call, ["GET"] * CALLS)} == {200}
            killed = postmaster(installation)
            os.kill(killed, signal.SIGKILL)
            for _ in range(3):
                for answer in threads.map(call, ["GET"] * CALLS):
                    seen[answer.status_code] += 1
                    if answer.status_code != 200:
                        assert answer.json()["error"]["reason_code"] in {"database_away", "overloaded"}
                        assert int(answer.headers["retry-after"]) >= 1
            assert wait_until(lambda: httpx.get(f"http://127.0.0.1:{installation.port}/healthz").status_code == 200, 5)
            assert wait_until(lambda: call("GET").status_code == 200, 30), installation.said
            assert {answer.status_code for answer in threads.map(call, ["GET"] * CALLS)} == {200}
    assert set(seen) <= {200, 503}
