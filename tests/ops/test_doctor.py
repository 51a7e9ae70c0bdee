"""`manage.py doctor` names every lack with its fix, and fails only for what nothing works without."""

import shutil
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

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
    assert list(diagnosis()) == ["Python", "Disk", "Database", "Sandbox", "Terminal", "Browser", "Fonts", "Models"]
    assert diagnosis()["Database"][0] == "ok"


def test_a_missing_program_is_named_with_its_fix_and_is_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    monkeypatch.setenv("MACHINE_SCREEN", "tmux")
    call_command("doctor", stdout=StringIO())
    found = diagnosis()
    assert found["Terminal"] == ("missing", "tmux is not installed: apt-get install tmux.")
    assert "chromium" in found["Browser"][1]


def test_a_data_folder_that_cannot_be_written_is_fatal(settings: Settings) -> None:
    settings.DATA_DIR = Path("/proc/self")
    with pytest.raises(SystemExit):
        call_command("doctor", stdout=StringIO())
    assert diagnosis()["Disk"][0] == "missing"
