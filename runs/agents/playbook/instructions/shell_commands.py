"""The shell commands behind the terminal sentences: one line each, so that a person can read it before approving."""

import shlex

PID_FILE = "~/.webserver.pid"
_LOG = "~/.webserver.log"


def create_file(name: str, text: str | None) -> str:
    """Make the file, with exactly this text if any."""
    path = _path(name)
    if text is None:
        return f"touch -- {path} && test -f {path}"  # touch is content with a folder, too
    if text.isprintable():
        return f"printf %s {shlex.quote(text)} > {path}"
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return f"printf %b {shlex.quote(escaped)} > {path}"


def _path(name: str) -> str:
    """Quoted for the shell; a leading ~/ keeps its meaning, a leading dash has none."""
    if name.startswith("~/"):
        return "~/" + shlex.quote(name[2:])
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


def start_server(port: int) -> str:
    """Serve the current folder, in the background; fails and shows the log when the server has ended after a second."""
    serve = f"(nohup python3 -m http.server {port} >{_LOG} 2>&1 & echo $! >{PID_FILE})"
    return f"{serve}; sleep 1; kill -0 $(cat {PID_FILE}) || {{ cat {_LOG}; false; }}"


def stop_server() -> str:
    """End the recorded web server, else any that this user runs.

    The record is believed only if its process is a web server: numbers are used again after a restart of the machine.
    """
    recorded = f"$(cat {PID_FILE} 2>/dev/null)"
    stop = f"grep -qs http.server /proc/{recorded}/cmdline && kill {recorded}"
    return f"{stop} || pkill -f http.server || echo 'No web server is running.'; rm -f {PID_FILE}"


def run_tests() -> str:
    """The test suite of the current folder: ./run-tests, make test, pytest or unittest, whichever fits first."""
    unittest = "python3 -m unittest discover -p '*test*.py' -s $([ -d tests ] && echo tests || echo .)"
    python = f"if python3 -c 'import pytest' 2>/dev/null; then python3 -m pytest; else {unittest}; fi"
    return (
        "if [ -x run-tests ]; then ./run-tests; elif grep -qs '^test:' Makefile; then make test; "
        f"elif ls | grep -q 'test'; then {python}; else echo 'There is no test suite in this folder.'; false; fi"
    )
