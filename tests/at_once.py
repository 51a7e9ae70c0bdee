"""Calls that begin at the same moment, each in a thread of its own; and what the threads of a pool keep."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import connections


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run the calls in threads that start together; their results in order."""
    results: list[Any] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(index: int) -> None:
        try:
            gate.wait()
            results[index] = calls[index]()
        except Exception as error:  # noqa: BLE001  a refusal is a result
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[index]) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def close_connections(pool: ThreadPoolExecutor) -> None:
    """Those of each thread: a barrier sees to it that none does it twice."""
    count = pool._max_workers
    all_here = threading.Barrier(count)
    closing = [pool.submit(lambda: (all_here.wait(10), connections.close_all())) for _ in range(count)]
    for each in closing:
        each.result(10)
