"""What the image is built from: all that the product imports, and what the Dockerfile copies by name."""

import re
import tomllib

from tests.ops.test_up import ROOT

CONTEXT = {line.removeprefix("!") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}


def test_every_app_goes_into_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["tool"]["importlinter"]["root_packages"]) <= CONTEXT


def test_every_file_that_is_copied_by_name_is_there_for_it() -> None:
    copied = re.findall(r"^COPY (.+) \./$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert "requirements.lock" in names
    assert names <= CONTEXT
