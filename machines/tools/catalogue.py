"""What can be fetched: each thing at one version, with the hash of what is loaded, its licence and its size."""

import fcntl
import platform
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from django.conf import settings


@dataclass(frozen=True)
class Tool:
    """One thing that `manage.py fetch` brings. It comes from the package registry that npm is configured for."""

    name: str
    title: str  # as people know it, with its version
    package: str  # of npm
    version: str
    integrity: str  # of the package's archive, as npm writes it: sha512-<base64>
    megabytes: int  # that are loaded
    licence: str
    released: date
    program: str  # the file in its folder that is started

    @property
    def folder(self) -> Path:
        """Where it is, once it is there; it appears as a whole."""
        return Path(settings.TOOLS_DIR) / f"{self.name}-{self.version}"


CHROMIUM = Tool(
    name="chromium",
    title="Chromium 153",
    package="@sparticuz/chromium",
    version="153.0.0",
    integrity="sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==",
    megabytes=70,
    licence="MIT (package), BSD-3-Clause and others (Chromium), SIL OFL 1.1 (Open Sans)",
    released=date(2026, 9, 11),
    program="headless_shell",
)
TOOLS = {tool.name: tool for tool in (CHROMIUM,)}


def unfit() -> str | None:
    """Why nothing can be fetched for this computer; None where it can."""
    system, processor, libc = platform.system(), platform.machine(), platform.libc_ver()[0]
    if system != "Linux" or processor not in ("x86_64", "AMD64") or libc != "glibc":
        words = " ".join(filter(None, (system, processor, libc or "without glibc")))
        return f"There is no Chromium to fetch for this computer ({words}; x86-64 Linux with glibc is needed)."
    return None


def lock_path() -> Path:
    """Whoever fetches holds this file."""
    return Path(settings.TOOLS_DIR) / "fetch.lock"


def being_fetched() -> bool:
    """Whether somebody fetches something just now."""
    try:
        with lock_path().open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
