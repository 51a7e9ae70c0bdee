"""What PostgreSQL alone takes here: the smallest durable commit, and a NOTIFY from one connection to another."""

import time

import psycopg


def small_commits(url: str, count: int) -> list[float]:
    """Seconds of each of `count` durable one-row updates."""
    with psycopg.connect(url, autocommit=True) as link:
        link.execute("CREATE TABLE IF NOT EXISTS bench_commit (n integer)")
        link.execute("INSERT INTO bench_commit VALUES (0)")
        return [_timed(link) for _ in range(count)]


def _timed(link: psycopg.Connection[tuple[int]]) -> float:
    begun = time.perf_counter()
    link.execute("UPDATE bench_commit SET n = n + 1", prepare=True)
    return time.perf_counter() - begun


def round_trips(url: str, count: int) -> list[float]:
    """Seconds from the sending of a NOTIFY to its arrival on another connection of the same process."""
    taken: list[float] = []
    with psycopg.connect(url, autocommit=True) as ear, psycopg.connect(url, autocommit=True) as mouth:
        ear.execute("LISTEN bench_bell")
        for _ in range(count):
            begun = time.perf_counter()
            mouth.execute("NOTIFY bench_bell")
            if not list(ear.notifies(timeout=5, stop_after=1)):
                raise TimeoutError("A NOTIFY did not arrive.")
            taken.append(time.perf_counter() - begun)
    return taken
