"""The system calls that Landlock leaves open, closed by a seccomp filter. Standard library only.

Landlock says which files may be opened and which TCP ports reached. It says nothing of unix sockets with a path (the
database has one), of UDP, of the modes and times of files, of System V memory, of the limits of other processes.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable

# Numbers of system calls: x86-64, arm64 (None where there is none). The newest ones are the same everywhere.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "socketpair": (53, 199), "clone": (56, 220), "clone3": (435, 435),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "unshare": (272, 97), "setns": (308, 268),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54), "file_setattr": (469, 469),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "ioctl": (16, 29),
    "inotify_add_watch": (254, 27), "fanotify_init": (300, 262),
    "prlimit64": (302, 261), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "semctl": (66, 191),
    "semop": (65, 193), "semtimedop": (220, 192), "msgget": (68, 186), "msgctl": (71, 187), "msgrcv": (70, 188),
    "msgsnd": (69, 189), "mq_open": (240, 180), "mq_unlink": (241, 181),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "syslog": (103, 116),
}  # fmt: skip
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH of the kernel
# What is answered instead of being done; programs know how to live with these.
REFUSED: dict[int, tuple[str, ...]] = {
    errno.EACCES: ("socket",),
    errno.ENOSYS: ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "inotify_add_watch", "fanotify_init"),
    errno.EOPNOTSUPP: (
        "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr", "lremovexattr", "fremovexattr", "removexattrat",
    ),
    errno.EPERM: (
        "unshare", "setns", "file_setattr", "add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd",
        "syslog", "shmget", "shmat", "shmctl", "semget", "semctl", "semop", "semtimedop", "msgget", "msgctl", "msgrcv",
        "msgsnd", "mq_open", "mq_unlink",
    ),
}  # fmt: skip
ON_ITSELF = {  # only with 0, which is the caller: the positions of those arguments
    "prlimit64": (0,), "setpriority": (0, 1), "sched_setparam": (0,), "sched_setscheduler": (0,),
    "sched_setaffinity": (0,), "sched_setattr": (0,), "ioprio_set": (1,),
}  # fmt: skip
SUPERVISED = (  # by modes.py
    "chmod", "fchmod", "fchmodat", "fchmodat2", "utime", "utimes", "futimesat", "utimensat",
    "chown", "lchown", "fchown", "fchownat",
)  # fmt: skip
NAMESPACES = 0x7E020000  # CLONE_NEW*, of clone's flags
FILE_FLAGS = (0x40086602, 0x401C5820)  # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR: they need no file that is open for writing
X32 = 0x40000000  # the other numbers of x86-64

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERRNO, _NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3
_SECCOMP = {"x86_64": 317, "aarch64": 277}
Instruction = tuple[int, int, int, int]  # code, jump when true, jump when false, operand


def numbers() -> dict[str, int] | None:
    """The system calls of this computer by name; None where they are not known."""
    architecture = ARCHITECTURES.get(platform.machine())
    if architecture is None:
        return None
    named = {name: row[architecture[0]] for name, row in NUMBERS.items()}
    return {name: number for name, number in named.items() if number is not None}


def _argument(position: int) -> Instruction:
    """Load the lower half of an argument; both architectures are little-endian."""
    return _LOAD, 0, 0, 16 + 8 * position


def _give(value: int) -> Instruction:
    return _RETURN, 0, 0, value


def _ruling(name: str) -> list[Instruction]:
    """What follows when the call is this one; every path returns."""
    for code, names in REFUSED.items():
        if name in names:
            return [_give(_ERRNO | code)]
    no = _give(_ERRNO | errno.EPERM)
    if name in ON_ITSELF:
        checks = [step for one in ON_ITSELF[name] for step in (_argument(one), (_EQUAL, 1, 0, 0), no)]
        return [*checks, _give(_ALLOW)]
    if name == "clone":
        return [_argument(0), (_ANY_BIT, 0, 1, NAMESPACES), no, _give(_ALLOW)]
    if name == "socketpair":  # a datagram one could be sent anywhere; the others reach only their twin
        stream = [(_AND, 0, 0, 0xF), (_EQUAL, 2, 0, 1), (_EQUAL, 1, 0, 5)]
        return [_argument(0), (_EQUAL, 0, 4, 1), _argument(1), *stream, _give(_ERRNO | errno.EACCES), _give(_ALLOW)]
    if name == "ioctl":
        return [_argument(1), (_EQUAL, 1, 0, FILE_FLAGS[0]), (_EQUAL, 0, 1, FILE_FLAGS[1]), no, _give(_ALLOW)]
    assert name in SUPERVISED
    return [_give(_NOTIFY)]


def program() -> list[Instruction]:
    """The filter, instruction by instruction."""
    calls = numbers()
    assert calls is not None
    foreign = _give(_ERRNO | errno.ENOSYS)
    code: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, ARCHITECTURES[platform.machine()][1]),
        foreign,
        (_LOAD, 0, 0, 0),
    ]
    if platform.machine() == "x86_64":
        code += [(_AT_LEAST, 0, 1, X32), foreign]
    for name, number in calls.items():
        ruling = _ruling(name)
        code += [(_EQUAL, 0, len(ruling), number), *ruling]
    return [*code, _give(_ALLOW)]


def install(code: Iterable[Instruction]) -> int:
    """Filter this process and all that come after it, for good; returns what modes.supervise() reads. Needs no_new_privs."""
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    described = Program(len(packed) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    number = ctypes.c_long(_SECCOMP[platform.machine()])
    listener = libc.syscall(
        number, ctypes.c_uint(_SET_MODE_FILTER), ctypes.c_uint(_NEW_LISTENER), ctypes.byref(described)
    )
    if listener < 0:
        code_ = ctypes.get_errno()
        raise OSError(code_, f"seccomp: {os.strerror(code_)}")
    return int(listener)
