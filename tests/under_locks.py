"""Nothing but SQL happens in a transaction of the product: who is slow there, or is stopped, holds rows that others need.

Installed for the whole suite. A transaction that a test itself opens is none of the product's, nor is the one around each test.
"""

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import FrameType
from typing import Any

from django.db import connections
from django.db.transaction import Atomic

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # noqa: PTH100, PTH120  a string to compare with
TESTS = os.path.join(ROOT, "tests", "")  # noqa: PTH118
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
SLOW = frozenset({
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen", "os.fork", "os.posix_spawn", "os.rename",
    "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree", "shutil.copyfile",
})  # fmt: skip


class SlowUnderLock(AssertionError):
    """The product waits for something that is not the database while it holds rows."""


def install() -> None:
    sys.addaudithook(_heard)
    time.sleep = _refused_under_locks("time.sleep", time.sleep)
    waiting = Future.result

    def result(future: Future[Any], timeout: float | None = None) -> Any:
        if not future.done():
            _check("waiting for a thread")
        return waiting(future, timeout)

    Future.result = result  # type: ignore[method-assign]
    enter = Atomic.__enter__

    def entered(block: Any) -> None:
        block.of_product = not block._from_testcase and _is_ours(sys._getframe(1))
        enter(block)

    Atomic.__enter__ = entered


def _refused_under_locks(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*args: Any) -> Any:
        _check(name)
        return call(*args)

    return checked


def _heard(event: str, args: tuple[Any, ...]) -> None:
    if event not in SLOW and event != "open":  # first: to look at what others tell of may itself be told
        return
    if args and type(args[0]) is str and "__pycache__" in args[0]:  # not isinstance(): it wakes lazy modules
        return  # a module that is compiled and kept when it is first imported
    if event in SLOW:
        _check(event)
    elif isinstance(args[0], str) and isinstance(args[2], int) and args[2] & WRITES:
        _check_file(args[0])


def _check_file(path: str) -> None:
    if not path.startswith("/dev/"):
        _check(f"writing {path}")


def _check(what: str) -> None:
    if _in_transaction() and _is_ours(sys._getframe(2)):
        raise SlowUnderLock(f"{what} in a transaction")


def _in_transaction() -> bool:
    open_ones = connections.all(initialized_only=True)
    return any(getattr(block, "of_product", False) for each in open_ones for block in each.atomic_blocks)


def _is_ours(frame: FrameType | None) -> bool:
    """Whether the product opened it: its code is nearer than that of a test."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith(ROOT) and "/.venv/" not in name and name != __file__:
            return not name.startswith(TESTS)
        frame = frame.f_back
    return False
