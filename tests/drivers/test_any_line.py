"""Whatever somebody left at a terminal's prompt: a command either runs alone and whole, or not at all and the result says so."""

import asyncio
import secrets
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from machines.drivers.base import Action
from tests.chance import SOME_TRIED
from tests.drivers.conftest import Machine, spec_of

# Typed as they are, character by character; \r is Enter.
LEFT = (
    "touch bad ", "touch bad; ", "rm -r old ", "x", "é", "!", "!!", "# ", ";", "&&", "|", "'", '"', "`", "$(", "{ ", "( ",
    "\\\r", "cat <<EOF\r", "EOF\r", "for i in 1; do\r", "if true; then\r", "case x in\r", "f() {\r", "\r",
    "read x\r", "read -e x\r", "cat\r", "sleep 0.3\r", "sleep 30\r", "false\r", "echo (\r",
    "set -o vi\r", "set -o emacs\r", "set -H\r", "set +o history\r", "set -u\r", "set -C\r", "shopt -u promptvars\r",
    "PROMPT_COMMAND=\r", "PROMPT_COMMAND=true\r", "PS0=\r", "PS2=\r", "PS1=\r", "trap '' INT\r", "trap true DEBUG\r",
    "\x01", "\x02", "\x05", "\x0b", "\x0f", "\x12", "\x13", "\x14", "\x15", "\x16", "\x18(", "\x18)", "\x18e", "\x19", "\x1f",
    "\t", "\t\t", "\x1b", "\x1b5", "\x1b[D", "\x1b[A", "\x1b[200~", "\x1b[9", "\x1b#", "\x1b*", "\x7f", "\x03", "\x1a",
)  # fmt: skip
COMMANDS = st.sampled_from(
    (
        "printf %s {token} >> log",
        "cat >> log <<EOF\n{token}\nEOF",
        "for n in 1\ndo printf '%s' {token} >> log\ndone",
        "printf '%s' '{token}' >> log # !x",
        "[ -e bad ]; printf '%s\t' {token} >> log",
    )
)


async def _played(left: list[str], command: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(spec_of("terminal", Path(folder) / "machine"))
        await machine.start()
        try:
            await _tried(machine, left, command)
        finally:
            await machine.stop()


async def _tried(machine: Machine, left: list[str], command: str) -> None:
    token, home = secrets.token_hex(8), machine.spec.folder / "home"
    (home / "old").mkdir()
    for text in left:
        await machine.do("type_text", timeout_ms=500, text=text.replace("\r", "\n"))
    before = sorted(path.name for path in home.iterdir())
    result = await machine.session.act(Action("run_line", {"command": command.format(token=token)}, 10_000))
    log = home / "log"
    written = log.read_text().split() if log.exists() else []
    assert written == ([token] if result.data.get("exit_code") is not None else []), result
    assert sorted(path.name for path in home.iterdir() if path != log) == before
    assert result.success is (result.data.get("exit_code") == 0), result
    assert result.success or result.error


@SOME_TRIED
@given(st.lists(st.sampled_from(LEFT), max_size=6), COMMANDS)
@example(["cat <<EOF\r", "rm -r old "], "printf %s {token} >> log")
def test_a_command_runs_alone_and_whole_or_not_at_all(left: list[str], command: str) -> None:
    asyncio.run(_played(left, command))
