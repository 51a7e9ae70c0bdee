"""System calls that nobody in a sandbox needs, refused by a seccomp filter: doors into the kernel that were broken before.

The namespaces of the sandbox close what these lead to; this closes the way to the kernel's own mistakes in them. For terminals
and for browsers, whose own sandbox filters far more.
"""

import errno
import platform
import struct

from machines.drivers.isolation.fence.filter import ARCHITECTURES, X32, Instruction
from machines.drivers.isolation.fence.filter import NUMBERS as FENCED

_MORE: dict[str, tuple[int | None, int | None]] = {  # x86-64, arm64
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "lookup_dcookie": (212, 18),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89),
    "quotactl": (179, 60), "quotactl_fd": (443, 443), "ioperm": (173, None), "iopl": (172, None),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266),
    "vhangup": (153, 58), "modify_ldt": (154, None), "fanotify_mark": (301, 263),
}  # fmt: skip
NUMBERS = {**FENCED, **_MORE}
REFUSED: dict[int, tuple[str, ...]] = {
    # Programs ask whether these exist and do without.
    errno.ENOSYS: (
        "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "open_tree", "move_mount", "fsopen",
        "fsconfig", "fsmount", "fspick", "mount_setattr",
    ),
    errno.EPERM: (
        "add_key", "request_key", "keyctl", "bpf", "perf_event_open", "syslog", "setns", "mount", "umount2", "pivot_root",
        "name_to_handle_at", "open_by_handle_at", "lookup_dcookie", "kexec_load", "kexec_file_load", "init_module",
        "finit_module", "delete_module", "swapon", "swapoff", "reboot", "acct", "quotactl", "quotactl_fd", "ioperm", "iopl",
        "settimeofday", "clock_settime", "clock_adjtime", "vhangup", "modify_ldt", "fanotify_init", "fanotify_mark",
    ),
}  # fmt: skip
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def program(machine: str | None = None) -> bytes | None:
    """The filter as bwrap reads it; None for a processor whose numbers we do not know.

    Calls by the numbers of another processor (32-bit programs, x32) do not exist: they were a way round it.
    """
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        return None
    column, architecture = ARCHITECTURES[machine]
    missing: Instruction = (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    code: list[Instruction] = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), missing, (_LOAD, 0, 0, 0)]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, X32), missing]
    for code_, names in REFUSED.items():
        for name in names:
            number = NUMBERS[name][column]
            if number is not None:
                code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | code_)]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)
