"""Real machines for tests: each starts in a folder of its own and is gone, with every process, when its test ends."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from machines.drivers import process
from machines.drivers.base import Action, ActResult, Driver, Element, Handle, MachineSpec, Session
from machines.drivers.browser import driver as browser_driver
from machines.drivers.registry import driver_for


def spec_of(kind: str, folder: Path, width: int = 1280, height: int = 720) -> MachineSpec:
    return MachineSpec(id="mch_test", kind=kind, folder=folder, width=width, height=height)


async def do(session: Session, name: str, timeout_ms: int = 10_000, **params: object) -> ActResult:
    return await session.act(Action(name, dict(params), timeout_ms))


class Machine:
    """One machine under test."""

    def __init__(self, spec: MachineSpec) -> None:
        self.spec = spec
        self.driver: Driver = driver_for(spec.kind)
        self.handle: Handle = {}
        self.session: Session

    async def start(self) -> None:
        self.handle = await self.driver.start(self.spec, self.handle or None)
        self.session = await self.driver.attach(self.spec, self.handle)

    async def stop(self) -> None:
        with suppress(AttributeError):
            await self.session.close()
        await self.driver.stop(self.spec, self.handle)

    async def do(self, name: str, timeout_ms: int = 10_000, **params: object) -> ActResult:
        return await do(self.session, name, timeout_ms, **params)

    async def find(self, name: str, role: str | None = None) -> Element:
        found = [one for one in await self.session.elements() if one.name == name and role in (None, one.role)]
        assert found, f"no {role or 'element'} named {name}"
        return found[0]

    async def at(self, name: str, role: str | None = None) -> dict[str, int]:
        """The centre of an element, as parameters of an action."""
        x, y = (await self.find(name, role)).center
        return {"x": x, "y": y}

    async def alive(self) -> bool:
        return await self.driver.alive(self.spec, self.handle)

    def processes(self) -> list[process.Identity]:
        root = process.recorded(self.handle)
        assert root is not None
        return [root, *process.descendants(root)]


@pytest.fixture(params=[pytest.param("tmux", marks=[pytest.mark.tmux, pytest.mark.again]), "keeper"])
def screens(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What holds the screens of terminals: each test is tried with both."""
    monkeypatch.setenv("MACHINE_SCREEN", request.param)
    return str(request.param)


@pytest.fixture
async def terminal(screens: str, tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(spec_of("terminal", tmp_path / "machine"))
    await machine.start()
    yield machine
    await machine.stop()


class Site:
    """A web site on this computer that test machines may visit: pages by path, and what was asked of it."""

    def __init__(self, port: int = 0) -> None:
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.asked: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self.host = f"127.0.0.1:{self.server.server_port}"

    def page(self, html: str, path: str = "/", media_type: str = "text/html; charset=utf-8") -> str:
        self.pages[path] = media_type, html.encode()
        return f"http://{self.host}{path}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                site.asked.append(f"{self.command} {self.path} {self.rfile.read(length).decode()}".strip())
                media_type, body = site.pages.get(self.path.split("?")[0], ("text/html", b"<title>?</title>"))
                self.send_response(200)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *args: object) -> None:
                return None

        return Handler


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join(2)


@pytest.fixture(scope="module")
def browser_machine(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One browser for the tests of a module: it costs most of a second to start."""
    machine = Machine(spec_of("browser", tmp_path_factory.mktemp("browser") / "machine"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MACHINE_ALLOWED_HOSTS", f"{site.host},localhost:{site.server.server_port}")
        machine.handle = asyncio.run(machine.driver.start(machine.spec, None))
    yield machine
    asyncio.run(machine.driver.stop(machine.spec, machine.handle))


@pytest.fixture
async def browser(browser_machine: Machine) -> AsyncIterator[Machine]:
    browser_machine.session = await browser_machine.driver.attach(browser_machine.spec, browser_machine.handle)
    yield browser_machine
    while (await browser_machine.session.state()).dialog:
        await browser_machine.do("key_press", key="escape")
    await browser_machine.session.close()


@pytest.fixture(scope="module")
def isolated_machine(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A browser that gives each site a process of its own, as full Chromium does."""
    machine = Machine(spec_of("browser", tmp_path_factory.mktemp("isolated") / "machine"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MACHINE_ALLOWED_HOSTS", f"{site.host},localhost:{site.server.server_port}")
        patch.setattr(browser_driver, "_FLAGS", (*browser_driver._FLAGS, "--site-per-process"))
        machine.handle = asyncio.run(machine.driver.start(machine.spec, None))
    yield machine
    asyncio.run(machine.driver.stop(machine.spec, machine.handle))


@pytest.fixture
async def isolated(isolated_machine: Machine) -> AsyncIterator[Machine]:
    isolated_machine.session = await isolated_machine.driver.attach(isolated_machine.spec, isolated_machine.handle)
    yield isolated_machine
    await isolated_machine.session.close()


@pytest.fixture
def host_listener() -> Iterator[tuple[int, list[bytes]]]:
    """Something on the host's loopback that no machine may reach: its port, and what it was sent."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        heard.append(connection.recv(4096))
                        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\nhost secret")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
    thread.join(2)
