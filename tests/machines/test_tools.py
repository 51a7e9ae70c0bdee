"""Fetching what machines need: as a whole or not at all, byte for byte what was tested, and never where it is forbidden."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.own_processes import wait_until
from machines.drivers.browser.chromium import browser_program, fetched, in_folder, works
from machines.tools.catalogue import CHROMIUM, being_fetched
from machines.tools.fetching import check, fetch
from machines.tools.npm import FetchError
from tests.chromium import absence

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = {"npm_config_registry": "http://127.0.0.1:9/", "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_NO_INDEX": "1"}


def nothing(text: str) -> None:
    return None


@pytest.fixture
def tools(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for tools, of this process and of those that it starts."""
    settings.TOOLS_DIR, settings.MACHINE_FETCH = tmp_path / "tools", "auto"
    monkeypatch.setenv("TOOLS_DIR", str(tmp_path / "tools"))
    monkeypatch.delenv("MACHINE_FETCH", raising=False)
    return tmp_path / "tools"


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Packages are loaded once in a session of tests."""
    monkeypatch.setenv("npm_config_cache", str(tmp_path_factory.getbasetemp() / "npm"))


def fetching() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "manage.py", "fetch", "chromium"]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def parts(tools: Path) -> list[str]:
    return sorted(path.name for path in tools.iterdir() if path.name != "fetch.lock")


@pytest.mark.browser
def test_of_two_at_once_one_fetches_and_the_other_waits(tools: Path, registry: None) -> None:
    both = [fetching(), fetching()]
    said = [one.communicate(timeout=300)[0].decode() for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sum("Fetching" in text for text in said) == 1
    assert all("Chromium 153 is here" in text for text in said)
    assert parts(tools) == ["chromium-153.0.0"]
    assert not fetch(CHROMIUM, nothing)
    assert fetched() == in_folder(CHROMIUM.folder)
    assert {path.stat().st_uid for path in CHROMIUM.folder.rglob("*")} == {os.geteuid()}


@pytest.mark.browser
def test_a_fetch_that_is_killed_leaves_nothing_half_and_the_next_goes_on(tools: Path, registry: None) -> None:
    first = fetching()
    assert wait_until(lambda: any(tools.glob(".new-*")), 120)
    assert being_fetched()
    first.kill()
    first.communicate(timeout=20)
    assert not CHROMIUM.folder.exists()
    assert not being_fetched()
    assert parts(tools) != []
    second = fetching()
    said, _ = second.communicate(timeout=300)
    assert second.returncode == 0, said
    assert parts(tools) == ["chromium-153.0.0"]


@pytest.mark.browser
def test_what_has_another_hash_is_thrown_away(tools: Path, registry: None) -> None:
    with pytest.raises(FetchError, match="another hash"):
        fetch(dataclasses.replace(CHROMIUM, integrity="sha512-AAAA"), nothing)
    assert parts(tools) == []


def test_one_bit_more_is_another_hash(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(b"not what was tested")
    with pytest.raises(FetchError, match="another hash"):
        check(tmp_path / "archive", CHROMIUM)


def test_never_means_never(tools: Path, settings: Any) -> None:
    settings.MACHINE_FETCH = "never"
    with pytest.raises(FetchError, match="MACHINE_FETCH=never"):
        fetch(CHROMIUM, nothing)
    assert not tools.exists()


def test_offline_is_one_sentence_and_leaves_nothing(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    one = fetching()
    said = one.communicate(timeout=300)[0].decode().splitlines()
    assert one.returncode == 1
    assert said[-1].startswith("Chromium 153 is not here: ")
    assert said[-1].endswith("Tried again at the next start, or by manage.py fetch chromium.")
    assert "Traceback" not in "".join(said)
    assert parts(tools) == []


def test_where_there_is_no_such_program_nothing_is_loaded(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(FetchError, match="no Chromium to fetch for this computer"):
        fetch(CHROMIUM, nothing)
    assert not tools.exists()


# --- which browser is believed


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What some systems install as `chromium`: a script that only says where the real one is to be had."""
    path = tmp_path / "bin" / "chromium"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\necho 'Command requires the chromium snap to be installed.' >&2\nexit 10\n")
    path.chmod(0o755)
    monkeypatch.delenv("MACHINE_BROWSER", raising=False)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    return path


def test_a_stub_of_a_browser_is_not_believed(stub: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("machines.drivers.browser.chromium._NAMES", (("chromium", ""),))
    assert browser_program() is None


@pytest.mark.browser
def test_a_fetched_one_serves_where_there_is_only_a_stub(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert absence() is None
    monkeypatch.setattr("machines.drivers.browser.chromium._NAMES", (("chromium", ""),))
    assert browser_program() == fetched()


def test_what_is_not_there_does_not_work(tmp_path: Path) -> None:
    assert not works(in_folder(tmp_path / "none"))


def test_the_setting_names_the_browser_and_nothing_else_is_taken(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINE_BROWSER", str(stub))
    program = browser_program()
    assert program
    assert program.path == str(stub)
    monkeypatch.setenv("MACHINE_BROWSER", "/nowhere/chromium")
    assert browser_program() is None
