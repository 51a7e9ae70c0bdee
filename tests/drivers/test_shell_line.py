"""A command given to a terminal's shell is what runs, whatever stands at its prompt, or nothing runs and the result says so."""

import asyncio
import shutil
import time
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.drivers.base import Action, ActResult, Prompt
from machines.drivers.terminal import outcomes, transcript
from tests.drivers.conftest import Machine

PAGER = "less" if shutil.which("less") else "./pager"


@pytest.fixture(name="terminal")
async def _with_a_pager(terminal: Machine) -> Machine:
    """One of our own, for computers without less: a colon, and a wait for a key."""
    script = "#!/bin/bash\ncat\nprintf :\nread -rsn1 key </dev/tty\n"
    (terminal.spec.folder / "home" / "pager").write_text(script)
    (terminal.spec.folder / "home" / "pager").chmod(0o755)
    return terminal


async def run(machine: Machine, command: str, timeout_ms: int = 8_000, prompt: Prompt | None = None) -> ActResult:
    return await machine.session.act(Action("run_line", {"command": command}, timeout_ms, prompt=prompt))


async def left(machine: Machine, *typed: str) -> None:
    """Type as a person who then goes away: `^X` is Ctrl+X, `M-5` Alt+5, `<escape>` a key, all else text."""
    for text in typed:
        if text.startswith("^"):
            await machine.do("key_combo", keys=["ctrl", text[1:]])
        elif text.startswith("M-"):
            await machine.do("key_combo", keys=["alt", text[2:]])
        elif text.startswith("<"):
            await machine.do("key_press", key=text.strip("<>"))
        else:
            await machine.do("type_text", timeout_ms=400, text=text)


class Situation(NamedTuple):
    """`lost`: what the result says was replaced on the line, None where that is not looked at."""

    typed: tuple[str, ...]
    lost: str | None = ""


CLEARED = {
    "nothing": Situation(()),
    "a command without its Enter": Situation(("rm -r old ",), "rm -r old "),
    "the cursor at the beginning": Situation(("rm -r old ", "<home>"), "rm -r old "),
    "the cursor in the middle": Situation(("rm -r old ", "<left>", "<left>"), "rm -r old "),
    "a line longer than the screen": Situation(("rm -r old " + "x" * 300,), "rm -r old " + "x" * 300),
    "an open quote": Situation(('rm -r old "abc\n',)),
    "a here document": Situation(("cat <<EOF\n", "rm -r old\n"), ""),
    "half a line in a here document": Situation(("cat <<EOF\n", "rm -r old"), None),
    "an open loop": Situation(("for i in 1 2; do\n", "rm -r old\n")),
    "a backslash at the end": Situation(("rm -r \\\n",)),
    "a reverse search": Situation(("rm -r nowhere\n", "^r", "rm"), None),
    "a quoted insert": Situation(("rm -r old ", "^v"), None),
    "a count": Situation(("rm -r old ", "M-5"), "rm -r old "),
    "a macro being recorded": Situation(("^x", "(", "rm -r old "), None),
    "vi mode": Situation(("set -o vi\n", "rm -r old "), "rm -r old "),
    "vi command mode": Situation(("set -o vi\n", "rm -r old ", "<escape>"), "rm -r old "),
    "a list of completions": Situation(("ls /usr/b", "<tab>", "<tab>"), None),
    "a question before many completions": Situation(("ls /usr/bin/", "<tab>", "<tab>"), None),
    "a read with the line editor": Situation(("read -e x\n", "rm -r old "), None),
    "strict options": Situation(("set -euo pipefail\n", "rm -r old "), "rm -r old "),
    "no clobbering": Situation(("set -o noclobber\n", "rm -r old "), "rm -r old "),
    "a trap before each command": Situation(("trap true DEBUG\n", "rm -r old "), "rm -r old "),
    "a prompt of two lines": Situation(("PS1='\\w\\n\\$ '\n", "rm -r old "), "rm -r old "),
    "history expansion on": Situation(("set -H\n", "rm -r old "), "rm -r old "),
    "no hooks": Situation(("PROMPT_COMMAND=; PS0=; PS2='> '\n", "rm -r old "), None),
    "hooks of one's own": Situation(("PROMPT_COMMAND='x=1'; PS0=; PS1='> '\n", "rm -r old "), None),
    "own hooks in a list": Situation(("PROMPT_COMMAND=(true false); rm -r nowhere\n", "rm -r old "), None),
    "no hooks and a here document": Situation(
        ("PROMPT_COMMAND=; PS0=; PS2='> '\n", "cat <<EOF\n", "rm -r old\n"), None
    ),
    "the interrupt key given away": Situation(("stty intr ^X\n", "cat <<EOF\n", "rm -r old "), None),
}


async def _only_this_ran(machine: Machine) -> None:
    files = await machine.session.terminal("ls -d old build old/kept; cat z.txt", 5000)
    assert files.output.split() == ["build", "old", "old/kept", "OK"]


@pytest.fixture
async def folder(terminal: Machine) -> Machine:
    """What a careless command would take away."""
    await terminal.session.terminal("mkdir old; touch old/kept build", 5000)
    return terminal


@pytest.mark.parametrize("situation", CLEARED.values(), ids=CLEARED)
async def test_what_stands_at_the_prompt_never_becomes_part_of_the_command(
    folder: Machine, situation: Situation
) -> None:
    await left(folder, *situation.typed)
    result = await run(folder, "echo OK > z.txt")
    assert (result.success, result.error) == (True, None)
    assert (result.data["exit_code"], result.data["finished"]) == (0, True)
    if situation.lost is not None:
        assert result.data.get("cleared", "") == situation.lost
    await _only_this_ran(folder)


BUSY = {
    "read": ("read x\n", "bash waits for a line"),
    "a menu": ("select q in a b; do echo $q; done\n", "bash waits for a line"),
    "a password": ("read -s -p Password: x\n", "bash waits for a password"),
    "a pager": (f"seq 500 | {PAGER}\n", f"{PAGER.strip('./')} waits for keys"),
    "cat": ("cat\n", "cat waits for a line"),
    "an interpreter": ("python3 -q\n", "python3 waits for keys"),
    "a shell in the shell": ("bash --norc\n", "bash waits for keys"),
    "a program that works": ("sleep 60\n", None),
}


@pytest.mark.parametrize(("typed", "waits"), BUSY.values(), ids=BUSY)
async def test_nothing_is_typed_to_a_program_that_has_the_terminal(
    folder: Machine, typed: str, waits: str | None
) -> None:
    await folder.do("type_text", timeout_ms=3_000, text=typed)
    before = await folder.session.text()
    result = await run(folder, "echo OK > z.txt")
    assert not result.success
    assert result.data["busy"]
    assert "nothing was typed" in (result.error or "")
    assert await folder.session.text() == before
    assert await folder.session.read_file("z.txt") is None
    said = (await folder.session.state()).waits
    assert said is None if waits is None else (said or "").startswith(waits)


async def test_a_shell_whose_key_was_given_away_runs_nothing(folder: Machine) -> None:
    await left(folder, "for m in emacs vi-insert vi-command; do bind -m $m -r '\\e[99~'; done\n", "rm -r old ")
    result = await run(folder, "echo OK > z.txt")
    assert not result.success
    assert "Nothing was run" in (result.error or "")
    assert await folder.session.read_file("z.txt") is None
    assert await folder.session.prompt() == Prompt("prompt", "")  # and nothing is left on the line


# --- the command as it is


LITERAL: dict[str, tuple[str, bytes]] = {
    "an exclamation mark": ('printf "wow!x !! !$" > z.txt', b"wow!x !! !$"),
    "a tab": ('printf "a\tb" > z.txt', b"a\tb"),
    "tabs after a path": ("printf %s '/usr/b\t\t' > z.txt", b"/usr/b\t\t"),
    "a here document with tabs": (
        'cat > z.txt <<EOF\nline 1\n\tline "2" !x\n\t\nEOF',
        b'line 1\n\tline "2" !x\n\t\n',
    ),
    "five kilobytes": (f"printf %s {'x' * 5000} > z.txt", b"x" * 5000),
    "letters of the world": ("printf %s 'é漢😀' > z.txt", "é漢😀".encode()),
    "a letter in two pieces": ("printf %s 'cafe\u0301' > z.txt", "cafe\u0301".encode()),
    "control characters": ("printf %s 'a\x03b\x1b[Ac\x12\x04\x15\x7f' > z.txt", b"a\x03b\x1b[Ac\x12\x04\x15\x7f"),
    "the end of a paste": ("printf %s 'a\x1b[201~b' > z.txt", b"a\x1b[201~b"),
    "the private keys": ("printf %s 'a\x1b[99~b\x1b[98~' > z.txt", b"a\x1b[99~b\x1b[98~"),
    "a loop of several lines": ("for i in 1 2\ndo printf $i >> z.txt\ndone", b"12"),
    "a backslash before a line end": ("printf a\\\nb > z.txt", b"ab"),
    "a comment behind": ("printf q > z.txt # note", b"q"),
    "a line end behind": ("printf q > z.txt\n", b"q"),
    "a percent sign and quotes": ("printf '%s' '%d \"$HOME\" `x`' > z.txt", b'%d "$HOME" `x`'),
}


@pytest.mark.parametrize(("command", "content"), LITERAL.values(), ids=LITERAL)
async def test_a_command_is_run_as_it_is_written(terminal: Machine, command: str, content: bytes) -> None:
    result = await run(terminal, command)
    assert (result.success, result.data["exit_code"]) == (True, 0), result
    assert await terminal.session.read_file("z.txt") == content


async def test_several_lines_have_one_exit_code(terminal: Machine) -> None:
    result = await run(terminal, "false\necho a\n(exit 3)")
    assert (result.success, result.data["exit_code"], result.data["output"]) == (False, 3, "a")


# --- how a command ends


async def test_a_command_that_ends_badly_fails_with_its_last_lines(terminal: Machine) -> None:
    result = await run(terminal, "seq 20; echo 'no such thing' >&2; (exit 4)")
    assert not result.success
    assert result.error == "Ended with exit code 4: 17\n18\n19\n20\nno such thing"
    assert (result.data["exit_code"], result.data["finished"]) == (4, True)


async def test_half_a_command_fails_at_once_and_is_left(terminal: Machine) -> None:
    for command in ('echo "abc', "cat <<EOF\nabc", "for i in 1 2; do", "echo a \\", "if true", "( echo"):
        began = time.monotonic()
        result = await run(terminal, command, 30_000)
        assert not result.success
        assert "no end" in (result.error or "")
        assert time.monotonic() - began < 15  # not the timeout
        assert await terminal.session.prompt() == Prompt("prompt", "")


async def test_a_line_that_the_shell_refuses_fails_with_its_words(terminal: Machine) -> None:
    result = await run(terminal, "echo )")
    assert not result.success
    assert "syntax error" in (result.error or "")
    assert result.data["exit_code"] is None


async def test_a_comment_runs_nothing_and_says_so(terminal: Machine) -> None:
    result = await run(terminal, "# nothing")
    assert not result.success
    assert "did not run" in (result.error or "")


async def test_the_code_of_a_command_that_ends_the_shell_is_its_own(terminal: Machine) -> None:
    result = await run(terminal, "exit 3")
    assert (result.success, result.data["exit_code"]) == (False, 3)
    assert (await run(terminal, "touch again.txt")).success
    killed = await run(terminal, "kill -9 $$")
    assert (killed.success, killed.data["exit_code"]) == (False, 137)


async def test_a_command_that_takes_the_hooks_away_ends_with_a_code_that_nobody_knows(terminal: Machine) -> None:
    result = await run(terminal, "PROMPT_COMMAND=")
    assert not result.success
    assert result.error == "It ended, but its exit code is unknown."
    assert (await run(terminal, "(exit 5)")).data["exit_code"] == 5


async def test_a_command_behind_which_something_runs_on_has_ended(terminal: Machine) -> None:
    result = await run(terminal, "sleep 60 &")
    assert (result.success, result.data["exit_code"], result.data["finished"]) == (True, 0, True)


async def test_two_lines_at_once_are_two_commands(terminal: Machine) -> None:
    both = await asyncio.gather(run(terminal, "echo a >> z.txt; sleep 0.2"), run(terminal, "echo b >> z.txt"))
    ran = [result for result in both if result.success]
    assert ran
    assert all(result.data.get("busy") for result in both if not result.success)
    assert len((await terminal.session.read_file("z.txt") or b"").split()) == len(ran)


# --- approved on what stood there


async def test_a_line_that_is_another_than_the_approved_one_is_not_replaced(folder: Machine) -> None:
    await left(folder, "rm -r old ")
    result = await run(folder, "echo OK > z.txt", prompt=Prompt("prompt", ""))
    assert not result.success
    assert result.data["changed"]
    assert await folder.session.read_file("z.txt") is None
    assert await folder.session.prompt() == Prompt("prompt", "rm -r old ")
    assert (await run(folder, "echo OK > z.txt", prompt=Prompt("prompt", "rm -r old "))).success
    await _only_this_ran(folder)


async def test_what_was_approved_to_be_typed_is_not_typed_behind_something_else(folder: Machine) -> None:
    shown = Prompt("prompt", "")
    await left(folder, "rm -r old ")
    for action in (
        Action("type_text", {"text": "./build\n"}, prompt=shown),
        Action("key_press", {"key": "enter"}, prompt=shown),
    ):
        result = await folder.session.act(action)
        assert not result.success
        assert result.data["changed"]
    assert await folder.session.prompt() == Prompt("prompt", "rm -r old ")


@pytest.mark.parametrize(
    ("typed", "stands"),
    [
        ((), Prompt("prompt", "")),
        (("rm -r old ",), Prompt("prompt", "rm -r old ")),
        (("rm -r old", "<home>"), Prompt("prompt", "rm -r old")),
        (("é漢 x",), Prompt("prompt", "é漢 x")),
        (("cat <<EOF\n", "abc"), Prompt("continuation", "abc")),
        (("rm -r old ", "^v"), Prompt("prompt", "rm -r old ")),
        (("sleep 60\n",), Prompt("program", "")),
        (("set -o vi\n", "rm x", "<escape>"), Prompt("prompt", "rm x")),
    ],
)
async def test_what_stands_at_the_prompt_is_seen_and_stays(
    terminal: Machine, typed: tuple[str, ...], stands: Prompt
) -> None:
    await left(terminal, *typed)
    assert await terminal.session.prompt() == stands
    assert await terminal.session.prompt() == stands


async def test_the_whole_line_that_ran_is_told_when_typing_only_completed_it(folder: Machine) -> None:
    await left(folder, "echo one ")
    result = await folder.do("type_text", text="two\n")
    assert (result.data["line"], result.data["output"]) == ("echo one two", "one two")
    await left(folder, "two", "<home>")
    result = await folder.do("type_text", text="echo \n")
    assert result.data["line"] == "echo two"
    assert "line" not in (await folder.do("type_text", text="true\n")).data


# --- what it wrote


async def output(machine: Machine, command: str) -> str:
    result = await run(machine, command, 60_000)
    return str(result.data["output"])


async def test_of_much_output_the_end_is_kept(terminal: Machine) -> None:
    text = await output(terminal, "seq 200000")
    first, *lines = text.split("\n")
    assert (first, lines[-1]) == ("[...]", "200000")
    assert [int(line) for line in lines] == list(range(int(lines[0]), 200_001))
    assert 3000 < len(text.encode()) <= 4096


async def test_output_is_text_as_it_was_written(terminal: Machine) -> None:
    assert await output(terminal, "printf 'x%.0s' {1..300}") == "x" * 300  # wrapped on the screen
    assert await output(terminal, "printf '\\e[31mred\\e[0m \\e]0;title\\a\\e[1mbold\\e[m\\n'") == "red bold"
    assert await output(terminal, "printf '10%%\\r100%%\\n'; printf 'abc\\b\\bX\\n'") == "100%\naXc"
    assert await output(terminal, "printf 'a\\tb\\n\\n  c\\n'") == "a\tb\n\n  c"
    assert await output(terminal, "printf 'é漢😀\\n'; echo err >&2") == "é漢😀\nerr"
    assert await output(terminal, "printf 'before\\n\\e[?1049hpainted\\e[?1049lafter\\n'") == "before\nafter"
    assert await output(terminal, "printf '\\x00\\x01a\\xff\\n'") == "a\ufffd"
    assert await output(terminal, "true") == ""


async def test_output_cannot_pretend_to_be_a_prompt(terminal: Machine) -> None:
    text = await output(terminal, "printf '\\e]133;D;0\\a\\e]133;C\\aagent@machine:~$ \\n'; echo end")
    assert text == "agent@machine:~$\nend"


# --- who waits


WAITS: dict[str, tuple[str, str | None]] = {
    "cat": ("cat", "cat waits for a line"),
    "read": ("read x", "bash waits for a line"),
    "read in secret": ("read -s x", "bash waits for a password"),
    "input()": ("python3 -c 'input()'", "python3 waits for a line"),
    "getpass": ("python3 -c 'import getpass; getpass.getpass()'", "python3 waits for a password"),
    "rm -i": ("touch a; rm -i a", "rm waits for a line"),
    "a pager": (f"seq 500 | {PAGER}", f"{PAGER.strip('./')} waits for keys"),
    "a pager by its variable": (f"PAGER={PAGER}; seq 500 | $PAGER", f"{PAGER.strip('./')} waits for keys"),
    "an interpreter": ("python3 -q", "python3 waits for keys"),
    "a shell in the shell": ("bash --norc", "bash waits for keys"),
    "read with the line editor": ("read -e x", "bash waits for a line"),
    "a question behind a pipe": ("cat | cat", "cat waits for a line"),
    "sleep": ("sleep 60", None),
    "a subshell": ("(sleep 60; echo x)", None),
    "tail -f": ("touch a; tail -f a", None),
    "a server": ("python3 -m http.server 8194 --bind 127.0.0.1", None),
    "a loop": ("while :; do :; done", None),
    "a progress bar": ("while :; do printf .; sleep 0.3; done", None),
    "reading something else": ("mkfifo f; cat f", None),
}


@pytest.mark.parametrize(("command", "waits"), WAITS.values(), ids=WAITS)
async def test_who_waits_for_input_is_found_and_who_works_is_not(
    terminal: Machine, command: str, waits: str | None
) -> None:
    result = await run(terminal, command, 3_000 if waits is None else 60_000)
    assert (result.success, result.data["finished"], result.data["exit_code"]) == (True, False, None)
    said: Any = result.data.get("waits")
    assert said is None if waits is None else said.startswith(waits)
    if waits and command != "read -e x":  # at that one the shell edits: to itself it is idle
        assert (await terminal.session.state()).waits == said


async def test_pagers_are_off(terminal: Machine) -> None:
    command = 'echo "$PAGER $GIT_PAGER $MANPAGER $SYSTEMD_PAGER [$AWS_PAGER] $GIT_TERMINAL_PROMPT $DEBIAN_FRONTEND"'
    assert await output(terminal, command) == "cat cat cat cat [] 0 noninteractive"
    assert (await terminal.session.terminal(command, 5000)).output == "cat cat cat cat [] 0 noninteractive\n"


async def test_the_screen_changes_its_size_under_the_shell(terminal: Machine) -> None:
    assert await output(terminal, "stty size") == "36 128"
    await terminal.session.screen.resize(100, 30)  # type: ignore[attr-defined]
    async with asyncio.timeout(10):  # the shell hears of it by a signal
        while await output(terminal, "stty size") != "30 100":
            pass


def test_a_machine_of_an_older_version_has_run_nothing() -> None:
    result = outcomes.of_line({"error": "KeyError('run_line')"})
    assert (result.success, result.data) == (False, {})
    assert "stop and start it" in (result.error or "")


# --- bytes as text


TEXTS = [
    (b"plain\r\n", "plain"),
    (b"50%\r100%\x1b[K\r\n", "100%"),
    (b"downloading\r\x1b[Kdone\r\n", "done"),
    (b"a\r\nb\x1b[1A\rA\r\n", "A\nb"),
    (b"before\x1b[2J\x1b[3Jafter", "after"),
    (b"\x1b]8;;http://a.test\x1b\\link\x1b]8;;\x1b\\", "link"),
    (b"\x1bP1$r0m\x1b\\x\x1b(B\x1b=", "x"),
    (b"one\x1b[?1049hfull\r\nscreen\x1b[?1049ltwo", "onetwo"),
    (b"cafe\xcc\x81\r\n", "cafe\u0301"),
    (b"\xff\xfe", "\ufffd\ufffd"),
    (b"a\x1b[9999Cb", "a" + " " * 499 + "b"),
    (b"a\x1b[" + b"9" * 5000 + b"Cb", "a b"),
    (b"\x1b[5A\x1b[99Dx", "x"),
    (b"cut \x1b[3", "cut"),
]


@pytest.mark.parametrize(("data", "text"), TEXTS)
def test_output_becomes_text(data: bytes, text: str) -> None:
    assert transcript.plain(data) == text


@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from([b"\x1b[", b"A", b"2J", b"K", b"\r", b"\n", b"\b", b"9", b"x"])).map(b"".join)
)
def test_any_output_becomes_text_without_control_characters(data: bytes) -> None:
    text = transcript.plain(data)
    assert not any((c < " " and c not in "\n\t") or "\x7f" <= c < "\xa0" for c in text)


@given(st.text(max_size=9000), st.booleans())
def test_what_is_shortened_is_marked_and_fits(text: str, cut: bool) -> None:
    short = transcript.shortened(text, cut=cut)
    assert len(short.encode(errors="replace")) <= transcript.LIMIT or short == text
    assert short == text or short.startswith("[...]\n")
