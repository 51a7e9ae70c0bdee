"""How many connections there are, and how long a session may hold what others need. Read by the settings, the embedded
server (config/postgres/server.py) and doctor; nothing else counts them.
"""

from dataclasses import dataclass

LEAST_CONNECTIONS = 200  # of the embedded server
SPARE = 20  # for people with psql, commands, and processes that replace others
WEB_OTHERS = 8  # of a web process, outside the pool: its listener, four readers of streams, and what is being replaced
DJANGO_THREADS = 2  # where asgiref runs what consumers and downloads read
CLUSTER = 4  # of a cluster's parent process and the processes that hand tasks over
WORKER_OTHERS = (
    13  # of a worker, beside its run loop: two listeners, the task in hand, eight to start machines, two for webhooks
)
CLOCK = 2


@dataclass(frozen=True)
class Sizes:
    """Threads that use the database, by kind; each has a connection, so there are never more threads than connections."""

    request_threads: int
    slow_threads: int
    workers: int
    run_loop_threads: int

    @property
    def pool(self) -> int:
        """Connections that the requests of one web process share."""
        return self.request_threads + self.slow_threads + DJANGO_THREADS

    @property
    def needed(self) -> int:
        """Connections of one web process, one cluster and one clock at the worst moment."""
        workers = self.workers * (self.run_loop_threads + WORKER_OTHERS)
        return self.pool + WEB_OTHERS + workers + CLUSTER + CLOCK + SPARE

    @property
    def of_embedded_server(self) -> int:
        return max(LEAST_CONNECTIONS, self.needed)


STATEMENT_SECONDS = {"web": 30.0, "worker": 60.0, "clock": 300.0}  # longer than any wait for a lock


def bounds(process: str, lock_seconds: float, idle_seconds: float, look_seconds: float) -> str:
    """The parameters of each session of a process of this kind, as libpq's `options` takes them; commands have none.

    A session that holds a transaction open and asks nothing is ended by the server: its process was stopped, or hangs. So is a
    clock that asks nothing for longer than it ever sleeps, `look_seconds`: it keeps the others from ticking.
    """
    if process not in STATEMENT_SECONDS:
        return ""
    seconds = {
        "lock_timeout": lock_seconds,
        "idle_in_transaction_session_timeout": idle_seconds,
        "statement_timeout": STATEMENT_SECONDS[process],
    }
    if process == "clock":
        seconds["idle_session_timeout"] = 4 * look_seconds + 5
    return " ".join(f"-c {name}={round(value * 1000)}" for name, value in seconds.items())
