"""Who is ended when the machine's memory is used up: what people and agents started, before the guest that answers for it."""
# ruff: noqa: PTH123

import contextlib

_BEFORE_OTHERS = "500"  # of 1000; the kernel adds it to the share of the memory that a process has


def first_to_end() -> None:
    """For this process and all that it starts. Called in a child that is about to become a program."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_BEFORE_OTHERS)
