"""Groups: their people, their names while something names them, and who is told next."""

from collections.abc import Callable

import pytest

from accounts.models import Group
from approvals import handling
from approvals.models import Policy
from runs.models import Run
from tests.cast import Api, Cast
from tests.pages.conftest import Visit, Visitor, request_of, text
from tests.people.conftest import group, told

pytestmark = pytest.mark.django_db


def edit(visitor: Visitor, row: Group, **changes: str) -> int:
    row.refresh_from_db()
    given = {"name": row.name, "next_group": row.next_group_id or ""} | changes
    return int(visitor.post(f"/groups/{row.id}/edit", given, follow=False).status_code)


def test_a_group_is_made_filled_and_deleted(visit: Visit, cast: Cast) -> None:
    adam, ana = visit("adam"), cast.people["ana"].id
    answer = adam.post("/groups/new", {"name": " Finance ", "next_group": ""})
    assert "The group Finance is made." in text(answer)
    row = Group.objects.get(team=cast.team)
    for _ in range(2):
        assert "Ana is in the group." in text(adam.post(f"/groups/{row.id}/add", {"user": ana}))
    assert list(row.users.all()) == [cast.people["ana"]]
    for path in ("/groups", "/members", f"/groups/{row.id}"):
        page = text(visit("bob").get(path))
        assert "Finance" in page
        assert "Ana" in page
        assert "Take out" not in page
    for _ in range(2):
        adam.post(f"/groups/{row.id}/take-out", {"user": ana})
    assert not row.users.exists()
    assert "Delete the group Finance?" in text(adam.get(f"/groups/{row.id}/delete"))
    assert "The group Finance is deleted." in text(adam.post(f"/groups/{row.id}/delete"))
    assert "This group is deleted." in text(adam.post(f"/groups/{row.id}/delete"))
    assert adam.post("/groups/grp_none/delete").status_code == 404
    verbs = ("created", "member_added", "member_removed", "deleted")
    assert [len(told(cast, f"group.{verb}")) for verb in verbs] == [1, 1, 1, 1]


@pytest.mark.parametrize("name", ["", "anyone", "Anyone", "grp_x", "FINANCE", "x" * 65, "a\u202eb", "a\0b"])
def test_names_that_would_mislead_are_refused(visit: Visit, cast: Cast, name: str) -> None:
    group(cast, "Finance")
    assert visit("olga").post("/groups/new", {"name": name}).status_code == 422
    assert Group.objects.count() == 1


def test_each_team_has_its_own_names(visit: Visit, cast: Cast, strangers: Cast) -> None:
    theirs = group(strangers, "Finance")
    olga = visit("olga")
    olga.post("/groups/new", {"name": "Finance"})
    assert Group.objects.filter(name="Finance").count() == 2
    assert theirs.id not in text(olga.get("/groups"))
    assert olga.get(f"/groups/{theirs.id}").status_code == 404
    mine = Group.objects.get(team=cast.team)
    assert edit(olga, mine, next_group=theirs.id) == 422
    stranger = strangers.people["ana"].id
    assert olga.post(f"/groups/{mine.id}/add", {"user": stranger}).status_code == 404
    assert not mine.users.exists()


def test_who_may_not_decide_is_marked(visit: Visit, cast: Cast) -> None:
    row = group(cast, "Finance", "ana", "bob")
    page = text(visit("olga").get(f"/groups/{row.id}"))
    assert "may not decide" in page.split("Bob</strong>")[1]
    assert "may not decide" not in page.split("Ana</strong>")[1].split("</tr>")[0]


def test_choosing_nobody_says_what_to_do(visit: Visit, cast: Cast) -> None:
    row = group(cast, "Finance")
    assert "Choose a person first." in text(visit("olga").post(f"/groups/{row.id}/add", {"user": ""}))


def test_groups_pass_on_to_each_other_but_never_in_a_circle(visit: Visit, cast: Cast) -> None:
    olga = visit("olga")
    one, two, three = (group(cast, name) for name in ("One", "Two", "Three"))
    assert edit(olga, one, next_group=two.id) == 302
    assert edit(olga, two, next_group=three.id) == 302
    for before in (one, two, three):
        assert edit(olga, three, next_group=before.id) == 422
    page = text(olga.get(f"/groups/{three.id}/edit"))
    assert f'value="{one.id}"' not in page
    assert "Told after" in text(olga.get(f"/groups/{two.id}"))
    assert "Two passes on to nobody then." in text(olga.get(f"/groups/{three.id}/delete"))
    olga.post(f"/groups/{three.id}/delete")
    two.refresh_from_db()
    assert two.next_group is None
    assert edit(olga, two, next_group=one.id) == 422
    assert edit(olga, one, next_group="") == 302
    assert edit(olga, two, next_group=one.id) == 302


def in_use(visit: Visit, row: Group, words: str, *, renames: bool) -> None:
    """It is not deleted, and says why; it keeps its name if it is named by that."""
    olga = visit("olga")
    answer = olga.post(f"/groups/{row.id}/delete")
    assert answer.status_code == 409
    assert f"The group is named by {words}." in text(answer)
    assert edit(olga, row, name="Treasury") == (302 if renames else 409)
    row.refresh_from_db()
    assert row.name == ("Treasury" if renames else "Finance")


def free(visit: Visit, row: Group) -> None:
    assert "is deleted." in text(visit("olga").post(f"/groups/{row.id}/delete"))
    assert not Group.objects.filter(id=row.id).exists()


@pytest.mark.parametrize("named_by", ["name", "id"])
def test_a_group_that_a_policy_names_stays(visit: Visit, cast: Cast, live: Api, named_by: str) -> None:
    row = group(cast, "Finance", "ana")
    body = {"tool": "click", "effect": "ask", "quorum": [{"group": getattr(row, named_by), "count": 1}]}
    policy = live.post("/permissions", body).json()["id"]
    in_use(visit, row, "1 policy of the live world", renames=named_by == "id")
    live.delete(f"/permissions/{policy}")
    free(visit, row)


def test_a_group_that_open_requests_name_stays(
    visit: Visit, cast: Cast, test_key: Api, begin: Callable[..., Run]
) -> None:
    row = group(cast, "Finance", "ana")
    quorum = [{"group": "Finance", "count": 1}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum})
    runs = [begin("x [steps:1]") for _ in range(2)]
    assert Policy.objects.update(revoked_at="2026-01-01T00:00:00Z") == 1
    in_use(visit, row, "2 open requests of the test world", renames=False)
    for run in runs:
        test_key.post(f"/runs/{run.id}/cancel")
    free(visit, row)


def test_a_group_that_a_request_is_assigned_to_stays(visit: Visit, cast: Cast, begin: Callable[..., Run]) -> None:
    row = group(cast, "Finance", "ana")
    request = request_of(begin("x [pause]"))
    olga = cast.actor("olga", test=True)
    handling.assign(olga, request.id, row.id)
    in_use(visit, row, "1 open request of the test world", renames=True)
    handling.assign(olga, request.id, None)
    free(visit, row)


def test_a_policy_of_another_team_does_not_matter(visit: Visit, cast: Cast, strangers: Cast) -> None:
    row = group(cast, "Finance", "ana")
    group(strangers, "Finance")
    body = {"tool": "click", "effect": "ask", "quorum": [{"group": "Finance", "count": 1}]}
    assert strangers.api().post("/permissions", body).status_code == 201
    free(visit, row)


def test_changes_are_told_with_what_was_before(visit: Visit, cast: Cast) -> None:
    row, other = group(cast, "Finance"), group(cast, "Security")
    for _ in range(2):
        edit(visit("adam"), row, name="Treasury", next_group=other.id)
    assert told(cast, "group.changed") == [
        {
            "before": {"name": "Finance", "next_group": None},
            "after": {"name": "Treasury", "next_group": "Security"},
        }
    ]


@pytest.mark.parametrize("named_by", ["approvers", "id", "assignee"])
def test_a_group_that_a_workflow_or_its_run_names_stays(visit: Visit, cast: Cast, live: Api, named_by: str) -> None:
    row = group(cast, "Finance", "ana")
    names = {"assignee": row.id} if named_by == "assignee" else {}
    need = {"group": row.id if named_by == "id" else "Finance", "count": 1}
    step = {"id": "ok", "type": "human_approval"} | (names or {"approvers": [need]})
    inner = {"id": "i", "type": "if", "condition": {"op": "truthy", "value": "Finance"}, "then": [step]}
    body = {"name": "Invoices", "slug": "invoices", "definition": {"steps": [inner]}}
    workflow = live.post("/workflows", body).json()
    in_use(visit, row, "1 workflow of the live world", renames=named_by != "approvers")
    run = live.post(f"/workflows/{workflow['id']}/runs", {}).json()
    live.delete(f"/workflows/{workflow['id']}")
    if named_by == "approvers":
        in_use(visit, row, "1 unfinished workflow run of the live world", renames=False)
    else:
        assert visit("olga").post(f"/groups/{row.id}/delete").status_code == 409
    live.post(f"/runs/{run['id']}/cancel")
    free(visit, row)
