"""Opens listening unix sockets, and where asked for a pty, and becomes another program that inherits them.

    launch.py [SOCKET …] [--pty] -- COMMAND [ARGUMENT …]

The numbers of the open descriptors are appended to the command: the sockets, then the pty's two ends. A sandbox that
gets its sockets this way needs no folder in which it could put a link in a socket's place. Runs outside the sandbox,
without the rest of the package.
"""
# ruff: noqa: PTH104, PTH108

import contextlib
import os
import socket
import sys

PTY = "--pty"


def listen(path: str) -> socket.socket:
    """A listening unix socket at the path, for this user only; whoever sees the path can connect at once."""
    fresh = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(fresh)
    server = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        server.bind(fresh)
    finally:
        os.umask(before)
    server.listen(64)
    os.rename(fresh, path)
    return server


def main(arguments: list[str]) -> None:
    split = arguments.index("--")
    paths = [argument for argument in arguments[:split] if argument != PTY]
    servers = [listen(path) for path in paths]  # kept: a socket that nobody holds is closed
    descriptors = [server.fileno() for server in servers]
    if PTY in arguments[:split]:
        descriptors += os.openpty()
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    command = arguments[split + 1 :] + [str(descriptor) for descriptor in descriptors]
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
