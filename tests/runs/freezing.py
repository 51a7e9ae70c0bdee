"""python -m tests.runs.freezing WHERE: a worker with the product's run loop that stops itself (SIGSTOP) in a transaction, once.

WHERE is `module:function`, called where rows are locked: right after it the process says `frozen` and stops; `-`: never. It ends
when its input does.
"""

import os
import signal
import sys
from importlib import import_module
from typing import Any

import django


def main() -> None:
    django.setup()
    if sys.argv[1] != "-":
        freeze_after(*sys.argv[1].split(":"))
    from runs.driving.loop import start_run_loop, stop_run_loop

    start_run_loop()
    say("drives")
    sys.stdin.read()
    stop_run_loop()
    os._exit(0)


def freeze_after(module: str, name: str) -> None:
    place = import_module(module)
    work, frozen = getattr(place, name), False

    def once(*args: Any, **kwargs: Any) -> Any:
        nonlocal frozen
        result = work(*args, **kwargs)
        if not frozen:
            frozen = True
            say("frozen")
            os.kill(os.getpid(), signal.SIGSTOP)
        return result

    setattr(place, name, once)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
