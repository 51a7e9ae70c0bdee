"""`manage.py doctor` names every lack with its fix, and fails only for what nothing works without."""

import dataclasses
import shutil
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from config.management.commands import doctor
from machines.drivers.browser.chromium import browser_program
from machines.tools.catalogue import CHROMIUM

pytestmark = pytest.mark.django_db


def diagnosis() -> dict[str, tuple[str, str]]:
    out = StringIO()
    try:
        call_command("doctor", stdout=out)
    except SystemExit as end:
        assert end.code == 1  # noqa: PT017
    return {
        name: (state, text) for state, name, text in (line.split(maxsplit=2) for line in out.getvalue().splitlines())
    }


def test_everything_is_looked_at() -> None:
    assert list(diagnosis()) == [
        "Python", "Disk", "Database", "Connections", "Sandbox", "Terminal", "Browser", "Limits", "Fonts", "Models"
    ]  # fmt: skip
    assert diagnosis()["Database"][0] == "ok"


def test_what_is_missing_is_named_with_its_fix_and_is_not_fatal(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.TOOLS_DIR = tmp_path
    monkeypatch.delenv("MACHINE_BROWSER", raising=False)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setenv("MACHINE_SCREEN", "tmux")
    call_command("doctor", stdout=StringIO())
    assert diagnosis()["Terminal"] == ("missing", "tmux is not installed: apt-get install tmux.")
    state, text = diagnosis()["Browser"]
    assert state == "missing"
    assert "manage.py fetch chromium" in text


def test_the_sdk_of_a_model_that_is_not_installed_is_a_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    assert diagnosis()["Models"] == ("ok", "none configured; the playbook agent works without one")
    monkeypatch.setattr(doctor, "missing", lambda: ["the SDK anthropic is not installed: run make models"])
    assert diagnosis()["Models"] == ("missing", "The SDK anthropic is not installed: run make models.")


@pytest.mark.browser
def test_a_database_with_too_few_connections_is_a_warning(settings: Settings) -> None:
    assert diagnosis()["Connections"][0] == "ok"
    settings.SIZES = dataclasses.replace(settings.SIZES, workers=100)
    state, text = diagnosis()["Connections"]
    assert state == "warning"
    assert "raise its max_connections" in text
    assert settings.SIZES.of_embedded_server == settings.SIZES.needed > 1000


def test_an_old_engine_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    program = browser_program()
    monkeypatch.setattr(doctor, "fetched", lambda: program)
    for days, state in ((60, "ok"), (61, "warning")):
        released = timezone.now().date() - timedelta(days=days)
        monkeypatch.setattr(doctor, "CHROMIUM", dataclasses.replace(CHROMIUM, released=released))
        found = diagnosis()["Browser"]
        assert found[0] == state, found
    assert "61 days old" in found[1]


def test_a_data_folder_that_cannot_be_written_is_fatal(settings: Settings) -> None:
    settings.DATA_DIR = Path("/proc/self")
    with pytest.raises(SystemExit):
        call_command("doctor", stdout=StringIO())
    assert diagnosis()["Disk"][0] == "missing"
