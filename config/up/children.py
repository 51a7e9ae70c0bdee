"""One child process of `manage.py up`: started, started again when it dies, ended."""

import os
import subprocess
import time
from dataclasses import dataclass, field

from config.own_processes import child_start
from config.up.terminal import CannotStart, say

QUICK = 10.0  # seconds; who ends sooner has failed to start
MOST_QUICK_ENDS = 10


@dataclass
class Patience:
    """How often something may end soon after its start, and how long to wait before the next attempt."""

    name: str
    quick_ends: int = 0
    started: float = field(default_factory=time.monotonic)

    def next_start(self, how: str) -> float:
        """Seconds to wait before starting again. Raises CannotStart when that has been tried often enough."""
        lived = time.monotonic() - self.started
        self.quick_ends = self.quick_ends + 1 if lived < QUICK else 1
        if self.quick_ends >= MOST_QUICK_ENDS:
            raise CannotStart(f"{self.name} ended {self.quick_ends} times right after its start ({how}); giving up.")
        wait = 0.2 * 2.0 ** (self.quick_ends - 1)
        say(f"{self.name} ended unexpectedly ({how}); it is started again in {wait:.1f} s")
        return wait


@dataclass
class Child:
    name: str
    command: list[str]
    environment: dict[str, str]
    grace: float
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    due: float = field(default=0.0, init=False)
    patience: Patience = field(init=False)

    def __post_init__(self) -> None:
        self.patience = Patience(self.name)

    def keep_alive(self) -> None:
        """Start it when it is due; when it has died, say so and set the time of its next start."""
        if self.process is None:
            if time.monotonic() >= self.due:
                self._start()
        elif self.process.poll() is not None:
            self.due = time.monotonic() + self.patience.next_start(ending(self.process.returncode))
            self.process = None

    def _start(self) -> None:
        self.patience.started = time.monotonic()
        self.process = subprocess.Popen(
            self.command,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is ours alone: children end in our order
            preexec_fn=child_start(),  # noqa: PLW1509  we have no threads
        )

    def ask_to_end(self) -> None:
        if self.process:
            self.process.terminate()

    def end(self, asked_at: float) -> None:
        """Wait until its grace is over, then use force: its own children die with it."""
        if self.process is None:
            return
        try:
            self.process.wait(max(0.1, asked_at + self.grace - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(2)
        self.process = None


def ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
