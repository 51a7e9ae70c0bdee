"""Where a machine keeps its things: its home, its sockets and the few files of /etc that its sandbox shows."""

import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from machines.drivers.base import Handle, MachineGone, MachineSpec

SOCKET_PATH_LIMIT = 107  # bytes, from sockaddr_un
LONGEST_NAME = len("/keeper.sock.new")

_ETC = {
    "passwd": "root:x:0:0:root:/:/usr/sbin/nologin\nagent:x:1000:1000:agent:/home/agent:/bin/bash\n",
    "group": "root:x:0:\nagent:x:1000:\n",
    "hosts": "127.0.0.1 localhost machine\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}


@dataclass(frozen=True)
class Places:
    """The folders of one machine. Only `home` is ever visible (and writable) inside its sandbox."""

    folder: Path
    run: Path  # sockets; short enough for sockaddr_un

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def etc(self) -> Path:
        return self.folder / "etc"

    @property
    def scratch(self) -> Path:
        """What a sandbox holds in memory, where there is none."""
        return self.folder / "scratch"

    @property
    def last_url(self) -> Path:
        return self.folder / "last_url"

    @property
    def guest(self) -> Path:
        return self.run / "guest.sock"

    @property
    def devtools(self) -> Path:
        return self.run / "cdp.sock"

    @property
    def keeper(self) -> Path:
        return self.run / "keeper.sock"

    @property
    def egress(self) -> Path:
        return self.run / "egress.sock"

    @property
    def host(self) -> Path:
        return self.run / "host.json"


def prepare(spec: MachineSpec) -> Places:
    """The machine's folders, created where missing and private to this user."""
    folder = spec.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    places = Places(folder, _runtime_folder(folder))
    for path in (places.home, places.etc):
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)  # the machine may have closed its home to itself
    for name, content in _ETC.items():
        (places.etc / name).write_text(content, encoding="utf-8")
    return places


def left_places(spec: MachineSpec) -> Places | None:
    """Where a machine was whose start nobody recorded; None when it was never begun."""
    folder = spec.folder.absolute()
    return Places(folder, _runtime_folder(folder)) if folder.is_dir() else None


def recorded_places(spec: MachineSpec, handle: Handle) -> Places:
    run = handle.get("run")
    if not isinstance(run, str):
        raise MachineGone("The machine was never started.")
    return Places(spec.folder.absolute(), Path(run))


def _runtime_folder(folder: Path) -> Path:
    """<folder>/run, or a private folder with a short name when that path is too long for a unix socket."""
    run = folder / "run"
    if len(os.fsencode(run)) + LONGEST_NAME <= SOCKET_PATH_LIMIT:
        run.mkdir(mode=0o700, exist_ok=True)
        return run
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    run = _private(Path(tempfile.gettempdir()) / f"countersign-{os.geteuid()}")
    return _private(run / digest)


def _private(path: Path) -> Path:
    """A folder below a world-writable one that is surely ours: no link, our owner, no rights for others."""
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to someone else; remove it or set TMPDIR.")
    path.chmod(0o700)
    return path
