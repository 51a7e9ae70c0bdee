"""The home of a machine on disk: how much it holds, and its removal. What is in it is hostile: deep, closed, endless.

Programs of the system do both: they follow no link, stay on one file system, and go deeper than a path may be long.
"""

import os
import subprocess
from pathlib import Path

INODE_BYTES = 4096  # what a file counts at least: a disk may have room and no place for one more file
MEASURE_SECONDS = 60  # a home that takes longer has more files than any limit allows
REMOVE_SECONDS = 40
# A folder may be closed to us where the machine's user is ours; then nobody but us can have closed it.
_OPEN = 'find "$1" -xdev -type d ! -perm -700 -exec chmod u+rwx {} ";"'
_MEASURE = 'du -sx -B1 -- "$1" && du -sx --inodes -- "$1"'
_ENVIRONMENT = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C"}


def _command(script: str, folder: Path) -> list[str]:
    return ["nice", "-n", "10", "timeout", "-k", "1", str(MEASURE_SECONDS), "/bin/sh", "-c", script, "sh", str(folder)]


class Measurement:
    """The measuring of one home, as a program beside us: nobody waits for it."""

    def __init__(self, home: Path) -> None:
        script = _MEASURE if os.geteuid() == 0 else f"{_OPEN}; {_MEASURE}"
        self._program = subprocess.Popen(
            _command(f"{{ {script}; }} 2>/dev/null", home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=_ENVIRONMENT,
        )

    def result(self, wait: float = 0.0) -> int | None:
        """Bytes on disk, once it is over; -1 when that took too long or could not be done."""
        try:
            self._program.wait(wait)
        except subprocess.TimeoutExpired:
            return None
        output, _ = self._program.communicate()
        if self._program.returncode in (124, 137):
            return -1
        counts = [int(line.split()[0]) for line in output.splitlines() if line.split()[0].isdigit()]
        return max(counts[0], counts[-1] * INODE_BYTES) if len(counts) == 2 else -1

    def give_up(self) -> None:
        self._program.kill()
        self._program.communicate()


def remove(folder: Path) -> None:
    """Remove a machine's folder with all in it, whatever that is. Raises OSError when something is left."""
    for script in ('rm -rf --one-file-system -- "$1"', f'{_OPEN}; rm -rf --one-file-system -- "$1"'):
        if not folder.exists():
            return
        subprocess.run(
            ["/bin/sh", "-c", script, "sh", str(folder)],
            capture_output=True,
            env=_ENVIRONMENT,
            timeout=REMOVE_SECONDS,
            check=False,
        )
    if folder.exists():
        raise OSError(f"{folder} could not be removed.")
