"""Opens listening unix sockets and becomes another program that inherits them.

    launch.py [SOCKET …] -- COMMAND [ARGUMENT …]

The numbers of the open descriptors are appended to the command. A sandbox that gets its sockets this way needs no
folder in which it could put a link in a socket's place. Runs outside the sandbox, without the rest of the package.
"""
# ruff: noqa: PTH104, PTH108

import contextlib
import os
import socket
import sys


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
    servers = [listen(path) for path in arguments[:split]]
    for server in servers:
        server.set_inheritable(True)
    command = arguments[split + 1 :] + [str(server.fileno()) for server in servers]
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
