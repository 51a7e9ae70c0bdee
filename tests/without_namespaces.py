"""Run a command where the kernel refuses namespaces, as Docker does by default: python tests/without_namespaces.py COMMAND …"""

import ctypes
import os
import platform
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from machines.drivers.isolation.fence.filter import ARCHITECTURES, NAMESPACES, NUMBERS, Instruction

_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # EPERM


def program() -> bytes:
    column = ARCHITECTURES[platform.machine()][0]
    clone, clone3, unshare = (NUMBERS[name][column] or 0 for name in ("clone", "clone3", "unshare"))
    code: list[Instruction] = [
        (_LOAD, 0, 0, 0),
        (_EQUAL, 0, 1, unshare), (_RETURN, 0, 0, _REFUSE),
        (_EQUAL, 0, 1, clone3), (_RETURN, 0, 0, 0x00050026),  # ENOSYS: then clone is tried
        (_EQUAL, 0, 3, clone), (_LOAD, 0, 0, 16), (_ANY_BIT, 0, 1, NAMESPACES), (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]  # fmt: skip
    return b"".join(struct.pack("HBBI", *one) for one in code)


def main(command: list[str]) -> None:
    packed = program()
    buffer = ctypes.create_string_buffer(packed, len(packed))
    described = struct.pack("HxxxxxxQ", len(packed) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, described, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
