"""A computer that has nothing: a user with an empty home, and a PATH without what machines need."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HIDDEN = ("bwrap", "tmux", "*chromium*", "*chrome*", "node", "nodejs", "npm", "npx")
SHOWN = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
USER = "countersign-bare"
# How packages are reached from here: the only things of the caller's environment that are handed on.
HANDED_ON = (
    "PIP_",
    "NPM_CONFIG_",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA",
)
OF_HOME = (".npmrc", ".config/pip/pip.conf", ".pip/pip.conf")
NOWHERE = "http://127.0.0.1:9/"
OFFLINE = {"npm_config_registry": NOWHERE, "PIP_INDEX_URL": NOWHERE, "PIP_NO_INDEX": "1"}


@contextmanager
def plain_user() -> Iterator[pwd.struct_passwd | None]:
    """A user made for this, when we are root; None when we are a plain user already."""
    if os.geteuid():
        yield None
        return
    subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/sh", USER], check=True)
    try:
        yield pwd.getpwnam(USER)
    finally:
        subprocess.run(["userdel", USER], check=True, capture_output=True)


@dataclass(frozen=True)
class Computer:
    """`user` None: whoever we are."""

    place: Path
    user: pwd.struct_passwd | None

    @property
    def checkout(self) -> Path:
        return self.place / "countersign"

    @property
    def home(self) -> Path:
        return self.place / "home"

    def clone(self) -> None:
        self.home.mkdir(parents=True)
        for name in OF_HOME:
            if (Path.home() / name).is_file():
                (self.home / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(Path.home() / name, self.home / name)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.checkout)], check=True)
        self._make_path()
        if self.user:
            subprocess.run(["chown", "-R", f"{self.user.pw_uid}:{self.user.pw_gid}", str(self.place)], check=True)

    def _make_path(self) -> None:
        folder = self.place / "bin"
        folder.mkdir()
        for name in (path for shown in SHOWN if Path(shown).is_dir() for path in sorted(Path(shown).iterdir())):
            link = folder / name.name
            if not link.is_symlink() and not any(fnmatch(name.name, hidden) for hidden in HIDDEN):
                link.symlink_to(name)

    def forget_data(self) -> None:
        shutil.rmtree(self.checkout / ".data")

    def start(
        self, command: list[str], log: Path, *, offline: bool, namespaces: bool, **more: str
    ) -> "subprocess.Popen[bytes]":
        environment = {k: v for k, v in os.environ.items() if k.upper().startswith(HANDED_ON)}
        environment |= OFFLINE if offline else {}
        if self.user is None and (cache := Path.home() / ".cache/pip").is_dir():
            environment.setdefault(
                "PIP_CACHE_DIR", str(cache)
            )  # ours already: what was loaded once is not loaded again
        environment |= {"PATH": str(self.place / "bin"), "HOME": str(self.home), "LANG": "C.UTF-8", **more}
        as_user: dict[str, Any] = {}
        if self.user:
            as_user = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        if not namespaces:
            command = ["/usr/bin/python3", str(self.checkout / "tests/without_namespaces.py"), *command]
        with log.open("wb") as said:
            return subprocess.Popen(
                command, cwd=self.checkout, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                start_new_session=True, **as_user,
            )  # fmt: skip

    def processes(self) -> list[int]:
        """Every living process that was told of this checkout."""
        mine = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                known = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(self.place).encode() in known and int(entry.name) != os.getpid():
                mine.append(int(entry.name))
        return mine

    def kill_all(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
