"""Which node this process is on: one host, one process namespace, one data folder. A machine's process lives on one node.

Who is on another node sees neither the process nor its sockets, and would start a second one beside it. So a machine is
started, ended and acted on by its node alone. A node that is silent may still be at work: its machines are taken over only when
the kernel says that nobody is left there, or a person does (manage.py nodes).

What is known of a node lies in DATA_DIR/nodes/: a file that every process of the node holds locked in common, and that says
which boot, namespace and computer it was. A copy of the folder proves nothing: it is recognised by the number of the file.
"""

import fcntl
import functools
import hashlib
import json
import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from django.conf import settings
from django_q.brokers import get_broker

from machines.errors import MachineElsewhere
from machines.models import Machine

log = logging.getLogger(__name__)
# File systems that several hosts may use at once: there the lock of a host that is cut off falls while it goes on working.
_SHARED = re.compile(
    r"nfs|cifs|smb|ceph|gluster|lustre|gfs|ocfs|9p|virtiofs|vboxsf|afs|beegfs|gpfs|fuse|moosefs|orangefs"
)
FORGOTTEN: dict[str, Any] = {"handle": {}, "frozen": None}  # what a row says of processes that are another node's


def this_node() -> str:
    """Its name: that of the computer it was first seen on, and a number of its own. The same for all processes of the node."""
    return _joined(Path(settings.DATA_DIR))


def is_here(node: str | None) -> bool:
    """Is a machine of this node within reach? One of no node is: it was never started, or by an older version."""
    return node is None or node == this_node()


def require_here(node: str | None) -> None:
    """Raises MachineElsewhere."""
    if not is_here(node):
        raise MachineElsewhere(node=node)


def queue_of(node: str | None) -> Any:
    """Where work for machines of a node is queued; None: where anybody takes it."""
    return get_broker(node_key(node)) if node else None


def node_key(node: str) -> str:
    """The key of a node's queue (config/queue.py)."""
    return f"{settings.Q_CLUSTER['name']}@{node}"


def adopt() -> int:
    """Take over the machines of nodes on this computer that are surely over: after a reboot, or with new containers."""
    mine, adopted = this_node(), 0
    elsewhere = Machine.objects.exclude(status="terminated").filter(node__isnull=False).exclude(node=mine)
    for node in elsewhere.order_by().values_list("node", flat=True).distinct():
        with _surely_over(node or "") as over:
            if not over:
                continue
            for machine in elsewhere.filter(node=node):
                if _answers(machine):
                    log.warning("Machine %s still answers although node %s is over; it is left alone", machine.id, node)
                    continue
                # Its handle names processes of the old node: here the numbers may be those of others.
                adopted += elsewhere.filter(id=machine.id, node=node).update(node=mine, **FORGOTTEN)
    return adopted


def adopt_all() -> int:
    """As adopt(), of every node: for who is alone with the database (`up` with its own), where no other node can be at work.
    The data folder may be a copy, and its original at work beside it: nothing of a handle is believed."""
    elsewhere = Machine.objects.exclude(status="terminated").filter(node__isnull=False).exclude(node=this_node())
    return elsewhere.update(node=this_node(), **FORGOTTEN)


def release(node: str) -> int:
    """Whoever starts a machine of this node next has it: its computer is gone for good, somebody says. How many there are."""
    return Machine.objects.exclude(status="terminated").filter(node=node).update(node=None, **FORGOTTEN)


def _answers(machine: Machine) -> bool:
    """Does anybody listen on one of the machine's sockets? They are reached from any process namespace."""
    folder = machine.spec.folder / "run"
    return any(_listens(path) for path in folder.glob("*.sock")) if folder.is_dir() else False


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        probe.settimeout(1)
        probe.connect(str(path))
        return True
    return False


# --- what is known of nodes


@functools.cache
def _joined(data_dir: Path) -> str:
    """Note down where we are, and hold that file for as long as this process and its children live."""
    folder = data_dir / "nodes"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{_number(folder)}.json"
    if not path.exists():
        _write_down(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # never closed: the kernel does it when we end
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return str(_read(path)["node"])


def _number(folder: Path) -> str:
    """Of this boot, process namespace and folder: equal in two processes that see each other, and in no others."""
    status = folder.stat()
    place = f"{_boot()} {_namespace()} {status.st_dev}:{status.st_ino}"
    return hashlib.sha256(place.encode()).hexdigest()[:12]


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116  the target of a link that only the kernel can follow


def _computer() -> str:
    """The computer's own number, which containers usually do not show; "" where there is none."""
    with suppress(OSError):
        return Path("/etc/machine-id").read_text(encoding="ascii").strip()
    return ""


def _write_down(path: Path) -> None:
    """Whole or not at all; of two at once, threads or processes, the first one counts."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=".", encoding="utf-8") as file:
        name = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:32] or "host"
        content = {"node": f"{name}:{path.stem}", "boot": _boot(), "computer": _computer()}
        json.dump(content | {"file": os.fstat(file.fileno()).st_ino}, file)
        file.flush()
        with suppress(FileExistsError):
            os.link(file.name, path)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


@contextmanager
def _surely_over(node: str) -> Iterator[bool]:
    """True when no process of the node is left on this computer; while the block lasts none comes back."""
    path = Path(settings.DATA_DIR) / "nodes" / f"{node.rpartition(':')[2]}.json"
    try:
        content, descriptor = _read(path), os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        yield False  # nobody here knows it: it is on another computer, or another data folder is its own
        return
    try:
        is_original = content.get("file") == os.fstat(descriptor).st_ino
        yield is_original and _on_this_computer(content, path.parent) and _nobody_holds(descriptor)
    finally:
        os.close(descriptor)


def _on_this_computer(content: dict[str, Any], folder: Path) -> bool:
    """A folder of one computer is used by one computer; in a shared one each node says where it is."""
    if content.get("boot") == _boot() or not _SHARED.search(file_system(folder)):
        return True
    return bool(content.get("computer")) and content["computer"] == _computer()


def _nobody_holds(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def file_system(folder: Path) -> str:
    """The kind of the file system that holds the folder, as the kernel calls it."""
    device = os.stat(folder).st_dev  # noqa: PTH116
    number = f"{os.major(device)}:{os.minor(device)}"
    kind = ""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == number:
            kind = after.split()[0]
    return kind or "fuse"  # as btrfs, which numbers otherwise: unknown counts as shared
