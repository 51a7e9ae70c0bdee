"""An installation of its own for the demonstration, as `make run` starts it; and calls of its API."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from config.own_processes import child_start
from config.up.checks import alone
from config.up.terminal import CannotStart

ROOT = Path(__file__).resolve().parents[2]
# What `manage.py up` says.
READY, NO_BROWSER, MISSING = "Ctrl-C stops everything", "browser missing", "Missing       "
NOT_FETCHED = " is not here: "
START_SECONDS, MACHINE_SECONDS, END_SECONDS = 120, 600, 20
# Of a real installation: another model, database or address is not what is shown here.
OTHERS = (
    "DATABASE_URL", "ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "MODEL_API_KEY", "DEFAULT_AGENT", "HOST",
    "ALLOWED_HOSTS", "SECURE_COOKIES", "PUBLIC_URL", "EMAIL_URL",
)  # fmt: skip


class CannotShow(Exception):
    """One sentence: what is in the way, and what to do."""


class Product:
    def __init__(self, folder: Path, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.folder, self.port, self.process = folder, port, process
        self.base = f"http://127.0.0.1:{port}"

    @property
    def log(self) -> Path:
        return log_of(self.folder)

    def wait(self) -> None:
        """Until pages answer. Raises CannotShow with what the product said."""
        end = time.monotonic() + START_SECONDS
        while READY not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                lines = self.log.read_text().strip().splitlines() or ["It said nothing."]
                raise CannotShow(f"Countersign did not start: {lines[-1]}")
            time.sleep(0.1)

    def facts(self) -> dict[str, str]:
        """Sign in, Live key and Test key, as the first start wrote them down."""
        lines = (self.folder / "first-run.txt").read_text().splitlines()
        return {line[:14].strip(): line[14:].strip() for line in lines}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(method, f"{self.base}{path}", json=body, headers=self.headers(), timeout=30)
        if answer.is_error:
            raise CannotShow(f"{method} {path} was refused: {answer.text}")
        return answer.json()

    def headers(self) -> dict[str, str]:
        return {"X-API-Key": self.facts()["Live key"]}

    def browser(self) -> str:
        """The id of a running browser machine; waits while a Chromium is fetched. Raises CannotShow."""
        end = time.monotonic() + MACHINE_SECONDS
        while True:
            machines = [m for m in self.call("GET", "/v1/machines")["data"] if m["kind"] == "browser"]
            for machine in machines:
                if machine["status"] == "running":
                    return str(machine["id"])
            problem = self._no_browser() if not machines else None
            if problem or self.process.poll() is not None or time.monotonic() > end:
                why = problem or f"it did not start; see {self.log}"
                raise CannotShow(f"There is no browser machine to show this on: {why}")
            time.sleep(0.5)

    def _no_browser(self) -> str | None:
        """Why there will be none; None while one may still come."""
        text = self.log.read_text()
        words = (MISSING, NOT_FETCHED) if NO_BROWSER in text else (NOT_FETCHED,)
        lines = (line.strip() for line in text.splitlines() if any(word in line for word in words))
        return next((line.removeprefix(MISSING) for line in lines), None)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(END_SECONDS)


@contextmanager
def started(folder: Path, port: int, **more: str) -> Iterator[Product]:
    """`manage.py up` over the folder; ended afterwards, and with us however we end."""
    environment = {name: value for name, value in os.environ.items() if name not in OTHERS}
    environment |= {"DATA_DIR": str(folder), "PORT": str(port), "DJANGO_SETTINGS_MODULE": "config.settings"} | more
    environment.setdefault("TOOLS_DIR", str(ROOT / ".data" / "tools"))  # one Chromium for `make run` and this
    log_of(folder).touch(mode=0o600)  # it holds the sign-in
    with log_of(folder).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up"], env=environment, cwd=ROOT, stdout=log, stderr=log,
            start_new_session=True, preexec_fn=child_start(signal.SIGTERM),  # noqa: PLW1509 - as children of `up`
        )  # fmt: skip
    product = Product(folder, port, process)
    try:
        yield product
    finally:
        product.end()


def nobody_else(folder: Path) -> None:
    """Raises CannotShow when another Countersign, or another demonstration, has the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with alone(folder):
            return
    except CannotStart as sentence:
        raise CannotShow(str(sentence)) from sentence


def log_of(folder: Path) -> Path:
    return folder / "demo.log"


def port_for(wanted: str | None) -> tuple[int, str]:
    """A port for the pages, and a sentence where it is not the usual one. Raises CannotShow."""
    if wanted is not None:
        if not re.fullmatch(r"[0-9]{1,5}", wanted) or not 0 < int(wanted) < 65536:
            raise CannotShow(f"PORT is {wanted!r}; it must be a number from 1 to 65535.")
        if not is_free(int(wanted)):
            raise CannotShow(f"Port {wanted} is taken{_by_us(int(wanted))}: end what holds it, or set another PORT.")
        return int(wanted), ""
    port = next((port for port in range(8000, 8020) if is_free(port)), None)
    if port is None:
        raise CannotShow("The ports 8000 to 8019 are all taken: set PORT to a free one.")
    return port, "" if port == 8000 else f"Port 8000 is taken{_by_us(8000)} and left alone; this takes {port}."


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _by_us(port: int) -> str:
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/version", timeout=3)
        return " by a Countersign that runs" if answer.is_success and "api" in answer.text else ""
    except httpx.HTTPError:
        return ""
