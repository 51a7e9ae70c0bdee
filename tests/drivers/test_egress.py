"""The way out of a browser machine: the public internet, what is allowed by name, and nothing else."""

import ipaddress
from pathlib import Path

import pytest

from machines.drivers.browser.keeper.egress import EgressProxy, Refused, is_public, parse_rules
from tests.drivers.conftest import Machine, Site


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.192",
            "168.63.129.16",
            "3fff::1",
            "64:ff9b::a83f:8110",
        ),
        *("224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1"),
        *("::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "fec0::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "2001:0:7f00:1::"),
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "64:ff9b::808:808"])
def test_a_public_address_is_not(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0.0.0.0", "0", "2130706433", "0x7f.1", "::1"])
async def test_no_spelling_of_loopback_gets_through(host: str) -> None:
    with pytest.raises((Refused, OSError)):
        await EgressProxy("").addresses(host, 80)


async def test_the_allow_list_opens_exactly_what_it_names() -> None:
    proxy = EgressProxy("127.0.0.1:8000, intranet.example, 10.0.0.0/8, [::1]:9000")
    assert await proxy.addresses("127.0.0.1", 8000) == ["127.0.0.1"]
    assert await proxy.addresses("2130706433", 8000) == ["127.0.0.1"]
    for host, port in (("127.0.0.1", 8001), ("127.0.0.2", 8000), ("192.168.0.1", 8000)):
        with pytest.raises(Refused):
            await proxy.addresses(host, port)
    assert proxy.may_reach("Intranet.Example", ipaddress.ip_address("192.168.0.9"), 443)
    assert proxy.may_reach("anything", ipaddress.ip_address("10.9.8.7"), 22)
    assert proxy.may_reach("anything", ipaddress.ip_address("::1"), 9000)
    assert not proxy.may_reach("anything", ipaddress.ip_address("::1"), 9001)
    assert parse_rules("") == []


@pytest.mark.browser
async def test_the_browser_cannot_reach_the_host(browser: Machine, host_listener: tuple[int, list[bytes]]) -> None:
    port, heard = host_listener
    for host in ("127.0.0.1", "localhost", "127.1", "0.0.0.0", "2130706433", "[::1]", "[::ffff:127.0.0.1]"):
        await browser.do("open_url", url=f"http://{host}:{port}/")
        assert "host secret" not in await browser.session.text(), host
        assert not (await browser.do("open_url", url=f"https://{host}:{port}/")).success
    await browser.do("open_url", url=f"http://127.0.0.1:{port}/")
    assert "is not on the public internet" in await browser.session.text()
    assert heard == []


@pytest.mark.browser
async def test_a_page_cannot_reach_the_host_or_its_own_devtools(
    browser: Machine, site: Site, host_listener: tuple[int, list[bytes]]
) -> None:
    port, heard = host_listener
    script = f"""<title>busy</title><script>
      const tries = ['http://127.0.0.1:{port}/', 'http://localhost:{port}/', 'ws://127.0.0.1:{port}/'];
      const one = (url) => url.startsWith('ws') ? new Promise((yes, no) => {{
        const socket = new WebSocket(url); socket.onopen = () => yes('open'); socket.onerror = () => no('shut'); }})
        : fetch(url).then((answer) => answer.text());
      Promise.allSettled(tries.map(one)).then((all) => document.title = all.map((one) => one.status).join());
    </script>"""
    await browser.do("open_url", url=site.page(script))
    await browser.do("wait", ms=100)
    assert (await browser.session.state()).title == "rejected,rejected,rejected"
    assert heard == []


@pytest.mark.browser
async def test_only_the_web_can_be_opened(browser: Machine) -> None:
    for url in ("file:///etc/hostname", "chrome://version", "javascript:alert(1)", "data:text/html,x"):
        result = await browser.do("open_url", url=url)
        assert result.error == "Only http:// and https:// addresses can be opened."


@pytest.mark.browser
async def test_a_browser_machine_reads_its_own_files_only(browser: Machine, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("host secret")
    (browser.spec.folder / "home" / "planted").symlink_to(secret)
    for path in ("planted", str(secret), "/etc/shadow", "../../../etc/shadow"):
        assert await browser.session.read_file(path) is None
    with pytest.raises(NotImplementedError):
        await browser.session.terminal("ls", 1000)


@pytest.mark.browser
def test_the_browser_is_sandboxed_within_the_sandbox(browser_machine: Machine) -> None:
    assert browser_machine.handle["isolation"] == "bubblewrap"
    commands = {}
    for one in browser_machine.processes():
        commands[one.pid] = Path(f"/proc/{one.pid}/cmdline").read_bytes().decode()
    assert not any("--no-sandbox" in command for command in commands.values())
    renderer = next(pid for pid, command in commands.items() if "--type=renderer" in command)
    status = Path(f"/proc/{renderer}/status").read_text()
    assert "Seccomp:\t2" in status
    assert Path(f"/proc/{renderer}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
