"""What the people and programs inside a machine must not reach: the host, its files, its network, other machines."""

from pathlib import Path

import pytest

from machines.drivers.base import DriverUnavailable
from machines.drivers.isolation import sandbox
from machines.drivers.registry import driver_for
from tests.drivers.conftest import Machine, spec_of


async def test_a_terminal_cannot_reach_the_hosts_loopback(
    terminal: Machine, host_listener: tuple[int, list[bytes]]
) -> None:
    port, heard = host_listener
    for address in ("127.0.0.1", "localhost", "0.0.0.0", "[::1]", "10.0.0.1"):
        result = await terminal.session.terminal(f"curl -s -m 1 http://{address}:{port}/", 5000)
        assert result.exit_code not in (0, None)
        assert "secret" not in result.output
    routes = await terminal.session.terminal("cat /proc/net/route | wc -l; ls /sys/class/net 2>/dev/null; true", 5000)
    assert routes.output == "1\n"
    assert heard == []


async def test_a_terminal_sees_no_file_of_the_host(terminal: Machine, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("host secret")
    neighbour = tmp_path / "neighbour" / "home"
    neighbour.mkdir(parents=True)
    project = Path(__file__).parents[2] / "pyproject.toml"
    look = f"cat {secret} /etc/shadow {project}; ls {neighbour} {tmp_path} /srv /opt /var/lib; cat /proc/*/environ"
    output = (await terminal.session.terminal(look, 5000)).output
    assert "secret\n" not in output
    assert 'name = "countersign"' not in output
    assert "PYTHONPATH" not in output
    assert str(tmp_path) + ":" not in output
    listing = (await terminal.session.terminal("ls -A / /run /tmp /home", 5000)).output.split()
    assert "tmux.sock" not in listing


async def test_read_file_does_not_follow_links_out_of_the_machine(terminal: Machine, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("host secret")
    await terminal.session.terminal(f"ln -s {secret} one; ln -s /etc/shadow two; ln -s / three; mkfifo four", 5000)
    for path in ("one", "two", "four", f"three{secret}", str(secret), f"../../..{secret}", "/etc/shadow", "bad\0name"):
        assert await terminal.session.read_file(path) is None, path
    planted = terminal.spec.folder / "home" / "planted"
    planted.symlink_to(secret)
    assert await terminal.session.read_file("planted") is None


async def test_inside_nobody_has_rights(terminal: Machine) -> None:
    status = (await terminal.session.terminal("grep -E '^(Cap|NoNewPrivs|Uid)' /proc/self/status", 5000)).output
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Uid:\t1000" in status
    for attempt in ("touch /usr/x", "touch /etc/x", "touch /x", "unshare -Ur true", "mount -t tmpfs none /mnt"):
        assert (await terminal.session.terminal(attempt, 5000)).exit_code != 0, attempt


async def test_inside_nobody_turns_the_switches_of_the_kernel(terminal: Machine) -> None:
    """Whoever writes to core_pattern chooses a program that the host then runs as root."""
    pattern = "/proc/sys/kernel/core_pattern"
    written = await terminal.session.terminal(f"cat {pattern} > {pattern}", 5000)  # what it holds already
    assert "Read-only file system" in written.output
    others = "-path '/proc/[0-9]*' -prune -o -path /proc/self -prune -o -path /proc/thread-self -prune"
    assert (
        await terminal.session.terminal(f"find /proc {others} -o -writable -print 2>/dev/null", 30_000)
    ).output == ""


async def test_what_lives_in_memory_has_a_limit(terminal: Machine) -> None:
    sizes = await terminal.session.terminal("stat -f -c '%n %b %S' /tmp /run /var/tmp /dev/shm", 5000)
    for line in sizes.output.splitlines():
        name, blocks, size = line.split()
        assert int(blocks) * int(size) <= 1 << 30, name
    assert len(sizes.output.splitlines()) == 4
    assert (await terminal.session.terminal("echo x > /dev/x", 5000)).exit_code == 1


async def test_two_machines_do_not_see_each_other(terminal: Machine, tmp_path: Path) -> None:
    other = Machine(spec_of("terminal", tmp_path / "other"))
    await other.start()
    try:
        await other.do("type_text", text="touch mine; python3 -m http.server 8080 > /dev/null 2>&1 &\n")
        up = await other.session.terminal(
            "until curl -s -o /dev/null http://127.0.0.1:8080/; do sleep 0.02; done", 9000
        )
        assert up.exit_code == 0
        assert (await terminal.session.terminal("curl -s -m 1 http://127.0.0.1:8080/", 5000)).exit_code == 7
        assert (
            await terminal.session.terminal("ls; cat /proc/*/cmdline | grep -c '[h]ttp.server'", 5000)
        ).output == "0\n"
    finally:
        await other.stop()


async def test_without_a_sandbox_nothing_starts_unless_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "_candidates", lambda named, search: iter(()))
    monkeypatch.setenv("MACHINE_BWRAP", "nowhere: asked anew")
    monkeypatch.setenv("MACHINE_ISOLATION", "bubblewrap")
    monkeypatch.delenv("MACHINE_ALLOW_UNSANDBOXED", raising=False)
    machine = Machine(spec_of("terminal", tmp_path / "machine"))
    with pytest.raises(DriverUnavailable, match="bubblewrap"):
        await machine.start()
    monkeypatch.setenv("MACHINE_ALLOW_UNSANDBOXED", "1")
    await machine.start()
    try:
        assert machine.handle["isolation"] == "none"
        assert (await machine.do("type_text", text="echo plain > plain.txt\n")).data["exit_code"] == 0
        assert await machine.session.read_file("plain.txt") == b"plain\n"
        assert await machine.session.read_file("/etc/hostname") is None
    finally:
        await machine.stop()


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(LookupError, match="'fax'"):
        driver_for("fax")
