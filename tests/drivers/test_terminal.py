"""Terminal machines: what a person or agent does at one, and what it answers."""

import asyncio
import io
import signal
import time
from pathlib import Path

import pytest
from PIL import Image

from machines.drivers.places import prepare
from tests.drivers.conftest import Machine, spec_of


async def test_a_typed_command_is_awaited_and_its_file_can_be_read(terminal: Machine) -> None:
    result = await terminal.do("type_text", text="echo approved > approval.txt\n")
    assert result.success
    assert result.data == {"exit_code": 0, "finished": True, "output": ""}
    assert await terminal.session.read_file("approval.txt") == b"approved\n"
    assert await terminal.session.read_file("approval.txt", limit=3) == b"app"
    assert await terminal.session.read_file("missing.txt") is None
    assert await terminal.session.read_file(".") is None


async def test_the_exit_code_of_the_last_command_is_known(terminal: Machine) -> None:
    assert (await terminal.session.state()).exit_code is None
    result = await terminal.do("type_text", text="sleep 0.1\nsleep 0.1; (exit 7)\n")
    assert result.data == {"exit_code": 7, "finished": True, "output": ""}
    state = await terminal.session.state()
    assert (state.exit_code, state.idle) == (7, True)


async def test_control_c_works_where_the_product_was_started_in_the_background(screens: str, tmp_path: Path) -> None:
    """A shell without job control starts what ends in & with Ctrl+C ignored, and whatever that starts inherits it."""
    machine = Machine(spec_of("terminal", tmp_path / "machine"))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        await machine.start()
        await machine.do("type_text", timeout_ms=300, text="sleep 60\n")
        await machine.do("key_combo", keys=["ctrl", "c"])
        async with asyncio.timeout(10):
            while not (await machine.session.state()).idle:  # noqa: ASYNC110  nothing rings
                await asyncio.sleep(0.05)
    finally:
        signal.signal(signal.SIGINT, before)
        await machine.stop()


async def test_a_command_that_outlasts_its_timeout_is_reported_as_unfinished(terminal: Machine) -> None:
    result = await terminal.do("type_text", timeout_ms=300, text="sleep 60\n")
    assert result.data == {"exit_code": None, "finished": False, "output": ""}
    assert not (await terminal.session.state()).idle
    await terminal.do("key_combo", keys=["ctrl", "c"])
    async with asyncio.timeout(5):  # a key, other than typing, does not wait for the command
        while not (state := await terminal.session.state()).idle:
            pass
    assert state.exit_code == 130


async def test_half_a_command_does_not_wait_for_the_timeout(terminal: Machine) -> None:
    began = time.monotonic()
    assert (await terminal.do("type_text", text="cat <<END\n")).data["finished"] is False
    assert time.monotonic() - began < 5
    ended = (await terminal.do("type_text", text="x\nEND\n")).data
    assert (ended["exit_code"], ended["finished"], ended["output"]) == (0, True, "x")


async def test_keys_edit_the_line_and_enter_sends_it(terminal: Machine) -> None:
    await terminal.do("type_text", text="echo wrongX")
    await terminal.do("key_press", key="backspace")
    await terminal.do("key_combo", keys=["ctrl", "u"])
    await terminal.do("type_text", text="echo 'é ✓ ;' | tee said.txt")
    await terminal.do("key_press", key="enter")
    content: bytes | None = b""
    async with asyncio.timeout(5):  # a key, other than typing, does not wait for the command
        while not content:
            content = await terminal.session.read_file("said.txt")
        assert content == "é ✓ ;\n".encode()
        while "é ✓ ;" not in (await terminal.session.text()).splitlines():
            pass


async def test_impossible_actions_fail_in_words(terminal: Machine) -> None:
    for name, params in (
        ("open_url", {"url": "https://example.com"}),
        ("click", {"x": 1, "y": 1, "button": "left", "count": 1}),
        ("drag", {"from_x": 1, "from_y": 1, "to_x": 2, "to_y": 2}),
        ("key_press", {"key": "hyperspace"}),
        ("key_combo", {"keys": ["cmd", "c"]}),
    ):
        result = await terminal.do(name, **params)
        assert not result.success
        assert result.error
    assert (await terminal.do("move", x=1, y=1)).success
    assert (await terminal.do("scroll", x=1, y=1, direction="down", amount=3)).success


async def test_a_wait_that_its_timeout_ends_is_no_success(terminal: Machine) -> None:
    assert not (await terminal.do("wait", timeout_ms=20, ms=60_000)).success
    assert (await terminal.do("wait", ms=20)).success


async def test_a_program_that_asks_for_the_mouse_gets_clicks(terminal: Machine) -> None:
    await terminal.do(
        "type_text", timeout_ms=200, text="printf '\\e[?1000h\\e[?1006h'; stty raw; head -c 18 > mouse.txt\n"
    )
    assert (await terminal.do("click", x=105, y=45, button="left", count=1)).success
    assert (await terminal.session.terminal("until [ -s mouse.txt ]; do sleep 0.02; done", 5000)).exit_code == 0
    assert await terminal.session.read_file("mouse.txt") == b"\x1b[<0;11;3M\x1b[<0;11;3m"[:18]


async def test_long_text_arrives_whole(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=200, text="cat > long.txt\n")
    text = "".join(f"line {number} äöü ✓\n" for number in range(2000))
    await terminal.do("type_text", text=text)
    await terminal.do("key_combo", keys=["ctrl", "d"])
    assert await terminal.session.read_file("long.txt") == text.encode()


async def test_listening_ports_are_seen(terminal: Machine) -> None:
    await terminal.do("type_text", text="python3 -m http.server 8080 > log 2>&1 &\n")
    check = "until curl -s -o page.html http://127.0.0.1:8080/; do sleep 0.02; done"
    assert (await terminal.session.terminal(check, 10_000)).exit_code == 0
    assert (await terminal.session.state()).ports == (8080,)


async def test_the_picture_has_exactly_the_asked_size(screens: str, tmp_path: Path) -> None:
    machine = Machine(spec_of("terminal", tmp_path / "machine", 1003, 611))
    await machine.start()
    try:
        frame = await machine.session.screenshot()
        image = Image.open(io.BytesIO(frame.png))
        assert image.size == (frame.width, frame.height) == (1003, 611)
        assert (await machine.session.screenshot()) is frame
        columns = await machine.session.terminal("tput cols 2>/dev/null; stty size </dev/tty", 2000)
        assert columns.exit_code is not None
    finally:
        await machine.stop()


async def test_words_on_the_screen_are_elements(terminal: Machine) -> None:
    await terminal.do("type_text", text="clear; echo '  Total:    42 items   漢字 end'\n")
    found = {element.name: element for element in await terminal.session.elements()}
    assert (found["Total:"].x, found["Total:"].y, found["Total:"].width) == (20, 0, 60)
    assert found["42 items"].x == 120
    assert found["漢字 end"].width == 80


async def test_commands_beside_the_shell(terminal: Machine) -> None:
    run = terminal.session.terminal
    both = await run("echo out; echo err >&2; exit 3", 5000)
    assert (both.output, both.exit_code, both.truncated) == ("out\nerr\n", 3, False)
    slow = await run("echo begun; sleep 30", 300)
    assert (slow.output, slow.exit_code) == ("begun\n", None)
    much = await run("yes äöü | head -c 1000000", 5000)
    assert (len(much.output), much.exit_code, much.truncated) == (5000, 0, True)
    assert (await run("mkdir -p sub && cd sub && pwd", 5000)).output == "/home/agent/sub\n"
    assert (await run("pwd", 5000, cwd="sub")).output == "/home/agent/sub\n"
    assert (await run("pwd", 5000, cwd="nowhere")).exit_code == 1
    began = time.monotonic()
    assert (await run("sleep 30 & echo started", 5000)).output == "started\n"
    assert time.monotonic() - began < 5


async def test_the_shell_comes_back_when_it_exits(terminal: Machine) -> None:
    await terminal.do("type_text", timeout_ms=5000, text="exit 3\n")
    assert (await terminal.do("type_text", text="echo again > back.txt\n")).data["exit_code"] == 0
    assert await terminal.session.read_file("back.txt") == b"again\n"


async def test_a_folder_too_deep_for_a_socket_gets_a_short_one(screens: str, tmp_path: Path) -> None:
    machine = Machine(spec_of("terminal", tmp_path / ("deep" * 20) / ("deeper" * 20) / "machine"))
    await machine.start()
    try:
        assert len(machine.handle["run"]) < 90
        assert (await machine.do("type_text", text="touch here\n")).data["exit_code"] == 0
        assert await machine.session.read_file("here") == b""
    finally:
        await machine.stop()


def test_a_foreign_runtime_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    with pytest.raises(PermissionError):
        prepare(spec_of("terminal", tmp_path / ("deep" * 40)))
