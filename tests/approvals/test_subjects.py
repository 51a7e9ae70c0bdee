"""The port between requests and what they are about: every type is registered, and approvals know of no run."""

import re
from pathlib import Path

import pytest

from approvals import subjects
from approvals.external.subject import ExternalSubject, LockedRequest
from approvals.models import Approval, ExternalRequest
from runs.subject import LockedRun, RunSubject

ROOT = Path(__file__).parents[2]


def members(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def test_every_type_of_subject_is_registered() -> None:
    assert set(subjects._SUBJECTS) == set(subjects.TYPES)
    assert isinstance(subjects.subject_of(Approval()), RunSubject)
    assert isinstance(subjects.subject_of(Approval(external_request=ExternalRequest())), ExternalSubject)


def test_what_is_no_type_is_not_registered() -> None:
    with pytest.raises(ValueError, match="no type"):
        subjects.register("machine", RunSubject)


SUBJECTS = [(cls, subjects.Subject) for cls in (RunSubject, ExternalSubject)]
LOCKED = [(cls, subjects.Locked) for cls in (LockedRun, LockedRequest)]


@pytest.mark.parametrize(("cls", "protocol"), [*SUBJECTS, *LOCKED])
def test_a_subject_answers_everything_that_approvals_ask(cls: type, protocol: type) -> None:
    assert members(protocol) <= members(cls)


def test_approvals_read_no_table_of_runs_and_use_none_of_their_template_tags() -> None:
    modules = [path for path in (ROOT / "approvals").rglob("*.py") if "migrations" not in path.parts]
    pages = list((ROOT / "templates" / "approvals").rglob("*.*"))
    assert modules
    assert pages
    assert not [path for path in modules if re.search(r"\bruns_(run|step|event)|\bfrom runs\b", path.read_text())]
    assert not [path for path in pages if re.search(r"{% load [^%]*\bruns\b", path.read_text())]


def test_only_the_empty_queue_leads_to_runs_by_itself() -> None:
    """The first step of a newcomer. Whatever else leads to a run asks what the request, or the policy, is about."""
    pages = (ROOT / "templates" / "approvals").rglob("*.*")
    assert {path.name for path in pages if re.search(r"{% url '(run|agent|workflow)", path.read_text())} == {
        "_empty.html"
    }
