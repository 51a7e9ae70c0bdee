"""Tasks for the tests of the queue: they leave a mark with the time in a file."""

import os
import time
from pathlib import Path


def mark(path: str, name: str) -> None:
    with Path(path).open("a") as file:
        file.write(f"{name} {time.time():.6f} {os.getpid()}\n")
