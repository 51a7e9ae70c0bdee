"""`manage.py machines install`: what of machines the system's package manager can bring. The only place that uses sudo."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

# A program that shows that the package is there -> the package. Ubuntu's chromium is a stub: there it is fetched instead.
PACKAGES = {
    "bubblewrap": ("bwrap",),
    "tmux": ("tmux",),
    "chromium-headless-shell": ("chromium-headless-shell", "chromium"),
    "fonts-dejavu-core": (),
}
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"


class Command(BaseCommand):
    help = "Installs, with the system's package manager, what machines run better with. Shows its plan and asks."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["install"])
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        if not shutil.which("apt-get"):
            raise CommandError(
                f"There is no apt-get here. Install with your own package manager: {', '.join(PACKAGES)}."
            )
        packages = [package for package in lacking() if package != "chromium-headless-shell" or offered(package)]
        if not packages:
            self.stdout.write("Everything that apt has for machines is installed.")
            return
        plan = commands(packages)
        self.stdout.write("This will be run:\n" + "".join(f"  {' '.join(words)}\n" for words in plan))
        if not options["yes"] and not agreed():
            raise CommandError("Nothing was changed. `--yes` (make machines YES=1) does it without asking.")
        for words in plan:
            if subprocess.run(words, check=False).returncode:
                raise CommandError(f"This failed: {' '.join(words)}")
        self.stdout.write("Done. Start again (make run): machines that waited for this are made then.")


def lacking() -> list[str]:
    """The packages that are not there, judged by their programs and files."""
    absent = [name for name, programs in PACKAGES.items() if programs and not any(map(shutil.which, programs))]
    return [*absent, *([] if Path(FONT).exists() else ["fonts-dejavu-core"])]


def offered(package: str) -> bool:
    """Whether apt has it in the lists that are there."""
    words = ["apt-cache", "policy", package]
    shown = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    return "Candidate:" in shown and "Candidate: (none)" not in shown


def commands(packages: list[str]) -> list[list[str]]:
    """What to run, with sudo for who is not root. Raises CommandError where there is none."""
    root: list[str] = []
    if os.geteuid():
        if not shutil.which("sudo"):
            raise CommandError(
                f"Ask an administrator to install {', '.join(packages)}: you are not root, and there is no sudo."
            )
        root = ["sudo"]
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive"]
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    return [[*root, "apt-get", "update"], [*root, *quiet, *install]]


def agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
