"""Every sentence shown as an example, in docs/playbook.md and on the page of a new run, is one that is read."""

import re
from html import unescape
from pathlib import Path

import pytest
from django.conf import settings

from runs.agents.playbook import parse

ROOT = Path(settings.BASE_DIR)


def examples() -> list[str]:
    guide = (ROOT / "docs/playbook.md").read_text()
    rows = [line.split("|")[1] for line in guide.splitlines() if line.startswith("| ")]
    spans = [found for row in rows for found in re.findall(r"`` (.+?) ``|``(.+?) ``|`([^`]+)`", row)]
    form = (ROOT / "templates/runs/_sentences.html").read_text()
    return ["".join(span) for span in spans] + [unescape(s) for s in re.findall("<code>(.+?)</code>", form)]


@pytest.mark.parametrize("sentence", examples())
def test_an_example_is_read_as_one_instruction(sentence: str) -> None:
    plan = parse(sentence)
    assert not plan.unknown
    assert len(plan.steps) == 1


def test_there_are_examples_of_both_pages() -> None:
    assert {"run `ls -la`", 'click "Save"'} <= set(examples())
    assert len(examples()) > 50
