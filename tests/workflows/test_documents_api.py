"""Workflow documents by API: create, change, archive, versions (docs/api/workflows.md 1 and 2)."""

import json
from typing import Any

import pytest
from django.http import HttpResponse

from accounts.models import AuditEntry
from tests.cast import Api, Cast
from tests.conventions.conftest import locs, only, refused
from tests.workflows.documents import approval, branch, check, fail, loop, nested, parallel, retry, succeed, task, whole
from workflows.definition.documents import MAX_BYTES
from workflows.models import Workflow, WorkflowVersion

pytestmark = pytest.mark.django_db
KEYS = {
    "id", "object", "name", "slug", "version", "declared_version", "dsl_version", "definition", "inputs_schema",
    "description", "status", "metadata", "budget_cents_month", "created_at", "updated_at", "request_id",
}  # fmt: skip


def make(api: Api, **more: Any) -> dict[str, Any]:
    return ok(api.post("/workflows", whole([task()]) | more))


def ok(answer: HttpResponse) -> dict[str, Any]:
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


def test_a_workflow_has_every_key_and_null_where_nothing_was_given(live: Api) -> None:
    answer = live.post("/workflows", whole([task()]))
    found = ok(answer)
    assert found.keys() == KEYS
    assert found["id"].startswith("wf_")
    assert found["request_id"] == answer["X-Request-Id"]
    assert {name: found[name] for name in ("object", "name", "slug", "version", "dsl_version", "status")} == {
        "object": "workflow", "name": "Invoices", "slug": "invoices", "version": 1, "dsl_version": "2026-06-01",
        "status": "active",
    }  # fmt: skip
    assert [found[name] for name in ("declared_version", "inputs_schema", "description", "metadata")] == [None] * 4
    assert found["budget_cents_month"] == 0
    read = ok(live.get(f"/workflows/{found['id']}"))
    assert read | {"request_id": ""} == found | {"request_id": ""}


def test_every_field_is_kept(live: Api) -> None:
    given = {
        "version": "1.4", "inputs_schema": {"file": {"type": "string", "required": True}}, "description": "d" * 2000,
        "metadata": {"a": [1]}, "budget_cents_month": 500.0,
    }  # fmt: skip
    found = make(live, **given)
    assert found["declared_version"] == "1.4"
    assert found["version"] == 1
    assert {name: found[name] for name in given if name != "version"} == {
        n: v for n, v in given.items() if n != "version"
    }
    assert '"budget_cents_month":500,' in live.get(f"/workflows/{found['id']}").content.decode()


def test_a_definition_is_answered_exactly_as_sent(live: Api) -> None:
    sent = '{"z":1.0,"steps":[{"type":"fail","zeta":null,"id":"a","alpha":"ü"}],"output":{"b":true,"a":12345678901234567890}}'
    schema = '{"zz":{"type":"string"},"aa":{"type":"string"}}'
    body = f'{{"name":"n","slug":"s","definition":{sent},"inputs_schema":{schema}}}'.encode()
    made = live.post("/workflows", body)
    path = f"/workflows/{ok(made)['id']}"
    for answer in (made, live.get(path), live.get("/workflows"), live.get(f"{path}/versions/1")):
        assert sent in answer.content.decode()
        assert schema in answer.content.decode()


def test_T_134_runs_and_validate_are_never_ids(live: Api) -> None:
    make(live)
    WorkflowVersion.objects.all().delete()
    Workflow.objects.update(id="runs")
    for word in ("runs", "validate"):
        for method in ("GET", "PUT", "DELETE"):
            answer = live.request(method, f"/workflows/{word}", {})
            assert (answer.status_code in {404, 405}) or (word, method) == ("runs", "GET"), answer.content
            assert b"WORKFLOW_NOT_FOUND" not in answer.content
        for path in ("versions/1", "versions"):
            assert live.get(f"/workflows/{word}/{path}").json()["error"]["code"] in {"NOT_FOUND", "RUN_NOT_FOUND"}
    refused(live.request("GET", "/workflows/validate"), 405, "METHOD_NOT_ALLOWED")
    refused(live.get("/workflows/runsx"), 404, "WORKFLOW_NOT_FOUND")


def test_T_135_a_put_without_fields_raises_the_version(live: Api) -> None:
    made = make(live, version="a", description="d", metadata={"k": 1}, inputs_schema={"x": {}}, budget_cents_month=7)
    found = ok(live.put(f"/workflows/{made['id']}", {}))
    assert found["version"] == 2
    assert found["updated_at"] >= made["updated_at"]
    same = KEYS - {"version", "updated_at", "request_id"}
    assert {name: found[name] for name in same} == {name: made[name] for name in same}
    assert ok(live.put(f"/workflows/{made['id']}", b""))["version"] == 3


def test_T_135_an_existing_slug_gives_the_same_workflow_its_next_version(live: Api) -> None:
    made = make(live, description="d", metadata={"k": 1}, inputs_schema={"x": {}}, budget_cents_month=7)
    found = make(live, name="Other", definition={"steps": [fail()]})
    assert (found["id"], found["version"], found["name"]) == (made["id"], 2, "Other")
    assert found["definition"] == {"steps": [fail()]}
    empty = [found[name] for name in ("description", "metadata", "inputs_schema", "budget_cents_month")]
    assert empty == [None, None, None, 7], "a create body says all of it, but no limit vanishes"
    assert found["created_at"] == made["created_at"]


def test_T_135_test_and_live_slugs_are_independent(live: Api, test_key: Api, strangers: Cast) -> None:
    ids = {make(api)["id"] for api in (live, test_key, strangers.api(), strangers.api(test=True))}
    assert len(ids) == 4
    assert {row.version for row in Workflow.objects.all()} == {1}


def test_a_slug_made_from_the_name_is_the_same_slug(live: Api) -> None:
    first = make(live, slug="file-it")
    found = ok(live.post("/workflows", {"name": "File it!", "steps": [task()]}))
    assert (found["id"], found["slug"], found["version"]) == (first["id"], "file-it", 2)


def test_posting_or_putting_active_wakes_an_archived_workflow(live: Api) -> None:
    path = f"/workflows/{make(live)['id']}"
    live.delete(path)
    found = make(live)
    assert (found["status"], found["version"]) == ("active", 2)
    for status, version in (("archived", 3), ("active", 4)):
        found = ok(live.put(path, {"status": status}))
        assert (found["status"], found["version"]) == (status, version)
    live.delete(path)
    assert ok(live.put(path, {"name": "n"}))["status"] == "archived"


def test_a_put_replaces_what_it_gives_and_null_is_not_given(live: Api) -> None:
    made = make(live, description="d", inputs_schema={"x": {}})
    path = f"/workflows/{made['id']}"
    found = ok(live.put(path, {"definition": {"steps": [fail()]}, "description": None, "name": "New", "version": "2"}))
    assert found["definition"] == {"steps": [fail()]}
    assert [found[name] for name in ("description", "inputs_schema", "name", "declared_version")] == [
        "d", {"x": {}}, "New", "2"
    ]  # fmt: skip
    found = ok(live.put(path, {"steps": [succeed()], "output": {"a": 1}, "inputs_schema": {"y": {}}}))
    assert found["definition"] == {"steps": [succeed()], "output": {"a": 1}}
    assert found["inputs_schema"] == {"y": {}}
    assert locs(live.put(path, {"slug": "other", "status": "gone", "colour": 1})) == [
        ["body", "status"], ["body", "slug"], ["body", "colour"]
    ]  # fmt: skip
    assert ok(live.get(path))["version"] == 3


def test_deleting_archives_and_a_second_call_answers_the_same(live: Api) -> None:
    made = make(live)
    answers = [ok(live.delete(f"/workflows/{made['id']}")) for _ in range(2)]
    assert answers[0].keys() == KEYS | {"deleted"}
    assert (answers[0]["status"], answers[0]["version"], answers[0]["deleted"]) == ("archived", 1, True)
    assert answers[0] | {"request_id": ""} == answers[1] | {"request_id": ""}
    assert WorkflowVersion.objects.count() == 1
    assert AuditEntry.objects.filter(verb="workflow.archived").count() == 1


def test_versions_are_kept_newest_first_and_never_change(live: Api, cast: Cast) -> None:
    made = make(live, description="first")
    path = f"/workflows/{made['id']}"
    other = cast.api(owner="alice")
    other.put(path, {"steps": [fail()], "version": "b"})
    live.put(path, {"description": "third"})
    found = ok(live.get(f"{path}/versions"))["data"]
    assert [each["version"] for each in found] == [3, 2, 1]
    assert [each["description"] for each in found] == ["third", "first", "first"]
    assert [each["declared_version"] for each in found] == ["b", "b", None]
    assert found[2]["definition"] == made["definition"]
    assert found[1]["definition"] == {"steps": [fail()]}
    assert found[1]["created_by"]["type"] == "api_key"
    assert found[1]["created_by"] != found[0]["created_by"]
    one = ok(live.get(f"{path}/versions/1"))
    assert one | {"request_id": ""} == found[2] | {"request_id": ""}
    assert (one["object"], one["workflow_id"]) == ("workflow.version", made["id"])


def test_versions_are_walked_page_by_page(live: Api) -> None:
    path = f"/workflows/{make(live)['id']}"
    for _ in range(4):
        live.put(path)
    first = ok(live.get(f"{path}/versions?limit=3"))
    live.put(path)
    rest = ok(live.get(f"{path}/versions?limit=3&cursor={first['next_cursor']}"))
    assert [each["version"] for each in first["data"] + rest["data"]] == [5, 4, 3, 2, 1]
    assert rest["has_more"] is False


@pytest.mark.parametrize("number", ["0", "2", "-1", "x", "1.0", "٣", "9" * 30, "%00"])
def test_a_version_that_does_not_exist_is_404(live: Api, number: str) -> None:
    path = f"/workflows/{make(live)['id']}"
    refused(live.get(f"{path}/versions/{number}"), 404, "NOT_FOUND")


def test_the_list_is_filtered_by_status(live: Api) -> None:
    kept, gone = make(live, slug="a")["id"], make(live, slug="b")["id"]
    live.delete(f"/workflows/{gone}")
    for query, expected in (
        ("", [gone, kept]), ("?status=active", [kept]), ("?status=archived", [gone]), ("?status=active,archived", [gone, kept]),
    ):  # fmt: skip
        assert [each["id"] for each in ok(live.get(f"/workflows{query}"))["data"]] == expected
    error = refused(live.get("/workflows?status=active,deleted"), 400, "INVALID_STATUS_FILTER")
    assert error["valid_options"] == ["active", "archived"]


def test_workflows_of_others_are_404(live: Api, test_key: Api, strangers: Cast) -> None:
    path = f"/workflows/{make(live)['id']}"
    for foreigner in (test_key, strangers.api(), strangers.api(test=True)):
        for method, end in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/versions"), ("GET", "/versions/1")):
            refused(foreigner.request(method, path + end, b"{"), 404, "WORKFLOW_NOT_FOUND")
        assert ok(foreigner.get("/workflows"))["data"] == []
    assert ok(live.get(path))["version"] == 1


def test_who_may_read_may_not_write(live: Api, cast: Cast) -> None:
    path = f"/workflows/{make(live)['id']}"
    reader = only(cast, "workflows:read")
    assert reader.get(path).status_code == reader.get("/workflows").status_code == 200
    assert reader.post("/workflows/validate", whole([task()])).status_code == 200
    for method, where in (("POST", "/workflows"), ("PUT", path), ("DELETE", path)):
        refused(reader.request(method, where, {}), 403, "INSUFFICIENT_SCOPE")
    bob = cast.browser("bob")
    assert bob.get(f"/v1{path}").status_code == 200
    assert bob.delete(f"/v1{path}").status_code == 403


def test_T_137_all_violations_of_a_document_come_in_one_422(live: Api) -> None:
    steps = [
        {"id": "a", "type": "task", "agent": "nobody"},
        loop("a", [check("c", {"op": "is"})]),
        approval("p", approvers=[{"group": "none", "count": 1}, {"group": 3}, {"group": "nope", "count": 2}], assignee="usr_x"),
        parallel("q", [succeed("no")]),
    ]  # fmt: skip
    at = ["body", "definition", "steps"]
    body = whole(steps) | {"name": "", "inputs_schema": {"x": {"type": "text"}}, "colour": 1}
    found = locs(live.post("/workflows", body))
    assert sorted(map(str, found)) == sorted(
        map(
            str,
            [
                ["body", "name"], ["body", "inputs_schema"], ["body", "colour"], [*at, 0, "task"], [*at, 0, "agent"],
                [*at, 1, "id"], [*at, 1], [*at, 1, "body", 0, "condition", "op"], [*at, 2, "approvers", 0, "group"],
                [*at, 2, "approvers", 1, "group"], [*at, 2, "approvers", 1, "count"], [*at, 2, "approvers", 2, "group"],
                [*at, 2, "assignee"], [*at, 3, "branches", 0, 0, "type"],
            ],
        )
    )  # fmt: skip
    assert not Workflow.objects.exists()


BOUNDS = [
    (nested(8), True), (nested(9), False),
    ([task(f"t{i}") for i in range(200)], True), ([task(f"t{i}") for i in range(201)], False),
    ([parallel("p", *([[]] * 16))], True), ([parallel("p", *([[]] * 17))], False),
    ([retry("r", [], 20)], True), ([retry("r", [], 21)], False), ([{"id": "r", "type": "retry", "body": []}], False),
]  # fmt: skip


@pytest.mark.parametrize(("steps", "right"), BOUNDS, ids=lambda value: str(value)[:40])
def test_T_138_the_limits_of_a_document(live: Api, steps: list[Any], right: bool) -> None:
    answer = live.post("/workflows", whole(steps))
    assert answer.status_code == (200 if right else 422), answer.content
    assert len(locs(answer)) == 1 if not right else Workflow.objects.count() == 1


def test_T_141_the_form_with_top_level_steps_is_accepted_and_answered_in_the_first(live: Api) -> None:
    steps = [
        approval("start_up", instruction="Start the machine"),
        branch("b", {"type": "field_equals", "field": "start_up.approved", "value": True}, [succeed(message="Done")]),
    ]
    found = ok(live.post("/workflows", {"name": "Start Up!", "version": "1.0.0", "steps": steps, "output": {"a": 1}}))
    assert (found["slug"], found["version"], found["declared_version"]) == ("start-up", 1, "1.0.0")
    assert found["definition"] == {"steps": steps, "output": {"a": 1}}
    assert "steps" not in found
    both = whole(steps) | {"steps": steps}
    assert locs(live.post("/workflows", both)) == [["body", "steps"]]


def test_agents_are_those_that_runs_know(live: Api, test_key: Api, settings: Any) -> None:
    settings.ALLOW_SCRIPTED_LIVE = False
    at = ["body", "steps", 0, "then", 0, "agent"]
    body = {"name": "n", "steps": [branch("b", {"op": "truthy", "value": 1}, [task(agent="scripted")])]}
    assert locs(live.post("/workflows", body)) == [at]
    assert test_key.post("/workflows", body).status_code == 200
    assert live.post("/workflows", {"name": "n", "steps": [task(agent="playbook")]}).status_code == 200
    assert locs(live.post("/workflows", {"name": "n", "steps": [task(agent="x" * 65)]})) == [
        ["body", "steps", 0, "agent"]
    ]


def test_groups_are_named_by_id_or_name_and_assignees_may_decide(live: Api, cast: Cast, strangers: Cast) -> None:
    group = cast.team.groups.create(name="Finance")
    group.users.add(cast.people["ana"])
    empty = cast.team.groups.create(name="Empty")
    theirs = strangers.team.groups.create(name="Theirs")
    at = ["body", "definition", "steps", 0]

    def post(**more: Any) -> HttpResponse:
        return live.post("/workflows", whole([approval(**more)]))

    for name in ("Finance", group.id, "anyone", "Empty"):
        assert post(approvers=[{"group": name, "count": 1}]).status_code == 200, name
    for name in ("finance", theirs.id, "Theirs", "none"):
        assert locs(post(approvers=[{"group": name, "count": 1}])) == [[*at, "approvers", 0, "group"]], name
    twice = [{"group": "Finance", "count": 1}, {"group": "anyone", "count": 1}, {"group": group.id, "count": 1}]
    assert locs(post(approvers=twice)) == [[*at, "approvers", 2, "group"]]
    for good in (cast.people["ana"].id, cast.people["olga"].id, group.id):
        assert post(assignee=good).status_code == 200, good
    for bad in (cast.people["bob"].id, strangers.people["ana"].id, empty.id, theirs.id, "Finance", "x"):
        assert locs(post(assignee=bad)) == [[*at, "assignee"]], bad


def test_a_document_of_more_than_256_KiB_is_413(live: Api) -> None:
    path = f"/workflows/{make(live)['id']}"
    body = whole([task()], note="x" * MAX_BYTES)
    for answer in (live.post("/workflows", body), live.put(path, body), live.post("/workflows/validate", body)):
        assert refused(answer, 413, "PAYLOAD_TOO_LARGE")["max_bytes"] == MAX_BYTES == 262_144
    assert ok(live.get(path))["version"] == 1


def test_256_KiB_of_nonsense_are_refused_and_nothing_else(live: Api) -> None:
    deep: Any = 1
    for _ in range(90):
        deep = [deep]
    for steps in (
        [[]] * 60_000, [{"id": {}, "type": []}] * 10_000, [{"type": "task", "agent": "x"}] * 7000, [deep] * 600,
        [approval(f"s{i}", assignee=f"grp_{i}", approvers=[{"group": f"g{i}", "count": 1}] * 21) for i in range(300)],
        [parallel("p", *([[{"type": "human_approval", "assignee": "x"}]] * 3000))],
    ):  # fmt: skip
        body = whole(steps)
        assert len(json.dumps(body)) > 90_000
        assert locs(live.post("/workflows", body))
        assert ok(live.post("/workflows/validate", body))["valid"] is False
    assert not Workflow.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"[]", b"3", b'{"name": NaN}', b"\xff", b'{"a":' * 500 + b"1" + b"}" * 500])
def test_what_is_no_object_is_422(live: Api, body: bytes) -> None:
    for path in ("/workflows", "/workflows/validate"):
        assert locs(live.post(path, body)) == [["body"]]


def test_text_that_cannot_be_stored_is_422(live: Api) -> None:
    for text in ("a\0", "\ud800"):
        assert locs(live.post("/workflows", whole([task(note=[text])]))) == [
            ["body", "definition", "steps", 0, "note", 0]
        ]


def test_a_create_call_is_answered_once_for_each_key(live: Api) -> None:
    first, again = (live.post("/workflows", whole([task()]), Idempotency_Key="k") for _ in range(2))
    assert (again.content, again["Idempotency-Replayed"]) == (first.content, "true")
    refused(live.post("/workflows", whole([fail()]), Idempotency_Key="k"), 422, "IDEMPOTENCY_KEY_REUSED")
    assert Workflow.objects.get().version == 1


def test_every_change_stands_in_the_audit(live: Api) -> None:
    made = make(live, description="d", metadata={"a": 1})
    live.put(f"/workflows/{made['id']}", {"name": "New", "metadata": {"a": 1}, "steps": [fail()]})
    make(live)
    live.delete(f"/workflows/{made['id']}")
    rows = list(AuditEntry.objects.filter(subject=made["id"]).order_by("id"))
    assert [row.verb for row in rows] == ["workflow.created", *["workflow.updated"] * 2, "workflow.archived"]
    assert rows[0].data["after"] == {
        "name": "Invoices", "description": "d", "metadata": {"a": 1}, "status": "active", "version": 1,
        "budget_cents_month": 0, "slug": "invoices",
    }  # fmt: skip
    assert rows[0].data["before"] == {}
    assert (rows[1].data["before"], rows[1].data["after"]) == (
        {"name": "Invoices", "version": 1}, {"name": "New", "version": 2}
    )  # fmt: skip
    assert [row.data["changed"] for row in rows] == [["definition"], ["definition"], ["definition"], []]
    assert rows[3].data["before"] == {"status": "active"}
