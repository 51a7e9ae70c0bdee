"""Changes of one workflow at the same moment, each on a connection of its own."""

from collections import Counter

import pytest
from django.http import HttpResponse
from django.test import Client

from tests.cast import Api
from tests.conventions.test_idempotency_races import at_once
from tests.workflows.documents import fail, whole
from workflows.models import Workflow, WorkflowVersion

pytestmark = pytest.mark.django_db(transaction=True)


def of(api: Api) -> Api:
    return Api(api.key, Client())


def numbers(answers: list[HttpResponse]) -> list[int]:
    assert Counter(a.status_code for a in answers) == {200: len(answers)}
    return sorted(a.json()["version"] for a in answers)


def test_eight_creates_of_one_new_slug_make_one_workflow_with_eight_versions(live: Api) -> None:
    answers = at_once(8, lambda i: of(live).post("/workflows", whole([fail(f"s{i}")])))
    assert numbers(answers) == [*range(1, 9)]
    (workflow,) = Workflow.objects.all()
    assert {a.json()["id"] for a in answers} == {workflow.id}
    assert workflow.version == 8
    for answer in answers:
        version = WorkflowVersion.objects.get(workflow=workflow, version=answer.json()["version"])
        assert version.definition == answer.json()["definition"]
    newest = WorkflowVersion.objects.get(workflow=workflow, version=8)
    assert workflow.definition == newest.definition


def test_puts_posts_and_deletes_take_turns(live: Api) -> None:
    path = f"/workflows/{live.post('/workflows', whole([fail()])).json()['id']}"
    calls = [("PUT", path, {}), ("POST", "/workflows", whole([fail()])), ("PUT", path, {"status": "archived"})] * 2
    answers = at_once(6, lambda i: of(live).request(*calls[i]))
    assert numbers(answers) == [*range(2, 8)]
    deleted = at_once(6, lambda i: of(live).delete(path))
    assert numbers(deleted) == [7] * 6
    assert [v.version for v in WorkflowVersion.objects.order_by("version")] == [*range(1, 8)]
