"""Processes as the kernel counts them: who belongs to a tree, its threads, its memory."""

from pathlib import Path

PROC = Path("/proc")


def tree(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for parent in found:
        found += _children(parent)
    return found


def _children(pid: int) -> list[int]:
    words: list[str] = []
    for task in (PROC / str(pid) / "task").glob("*/children"):
        try:
            words += task.read_text().split()
        except OSError:
            continue
    return [int(word) for word in words]


def pss_mb(pids: list[int]) -> float:
    """Proportional set size: what several share is counted once between them."""
    return sum(_number(pid, "smaps_rollup", "Pss:") for pid in pids) / 1024


def rss_mb(pids: list[int]) -> float:
    return sum(_number(pid, "status", "VmRSS:") for pid in pids) / 1024


def threads(pids: list[int]) -> int:
    return sum(_number(pid, "status", "Threads:") for pid in pids)


def _number(pid: int, name: str, line: str) -> int:
    """The number behind `line`; 0 for a process that has ended."""
    try:
        text = (PROC / str(pid) / name).read_text()
    except OSError:
        return 0
    return next((int(row.split()[1]) for row in text.splitlines() if row.startswith(line)), 0)
