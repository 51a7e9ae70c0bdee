"""A workflow run that waits for two people at once: two of its child runs ask (docs/api/approvals.md section 5)."""

from typing import Any

import pytest
from django.utils import timezone

from approvals.models import Approval
from runs.models import Run
from tests.cast import Api
from tests.runs.driving import drive_all, status_of, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def family(test_key: Api) -> tuple[Run, list[dict[str, Any]]]:
    """The workflow run and its two child runs, each of which waits for an approval."""
    children = [waiting(test_key) for _ in range(2)]
    first = Run.objects.get(id=children[0]["id"])
    parent = Run(
        team=first.team, test=True, kind="workflow", status="awaiting_human", agent="scripted", created_by=first.created_by,
        awaiting_human_reason="Two tasks wait.", awaiting_human_since=timezone.now(), started_at=timezone.now(),
    )  # fmt: skip
    parent.root_id = parent.id
    parent.save(force_insert=True)
    ids = [child["id"] for child in children]
    Run.objects.filter(id__in=ids).update(parent=parent, root_id=parent.id)
    Approval.objects.filter(run_id__in=ids).update(root_run_id=parent.id)
    return parent, children


@pytest.mark.parametrize(("call", "body"), [("resume", {}), ("signal", {"action": "approve"})])
def test_T_075_without_a_name_both_are_listed(
    test_key: Api, family: tuple[Run, list[dict[str, Any]]], call: str, body: dict[str, Any]
) -> None:
    parent, children = family
    answer = test_key.post(f"/runs/{parent.id}/{call}", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "AMBIGUOUS_TARGET")
    asked = sorted(child["open_approvals"][0] for child in children)
    assert sorted(answer.json()["error"]["open"]) == asked
    assert sorted(test_key.get(f"/runs/{parent.id}").json()["open_approvals"]) == asked
    assert {a.status for a in Approval.objects.all()} == {"pending"}


@pytest.mark.parametrize(("call", "body"), [("resume", {}), ("signal", {"action": "approve"})])
def test_T_075_the_named_one_is_decided_and_the_other_waits(
    test_key: Api, family: tuple[Run, list[dict[str, Any]]], call: str, body: dict[str, Any]
) -> None:
    parent, (one, two) = family
    named = {"approval_id": one["open_approvals"][0]}
    assert test_key.post(f"/runs/{parent.id}/{call}", body | named).status_code == 200
    drive_all()
    assert [status_of(one["id"]), status_of(two["id"])] == ["succeeded", "awaiting_human"]
    shown = test_key.get(f"/runs/{parent.id}").json()
    assert (shown["status"], shown["open_approvals"]) == ("awaiting_human", two["open_approvals"])
    assert test_key.post(f"/runs/{parent.id}/{call}", body).status_code == 200  # now one is open, and it needs no name
    drive_all()
    assert status_of(two["id"]) == "succeeded"
