"""Working on a request without deciding it: claims, handing over, more time, words, and changing its values in place."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Group
from approvals.models import Approval, Decision
from runs.models import Run, RunEvent, Step
from tests.cast import Cast
from tests.pages.conftest import Visit, drive_all, request_of, text

pytestmark = pytest.mark.django_db


def ask(begin: Callable[..., Run], **more: object) -> Approval:
    """A tool request: click at 101, 200."""
    return request_of(begin("[steps:1]", human_in_the_loop=True, permission_mode="approval", **more))


def test_a_claim_bars_others_until_it_is_given_back(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [pause]"))
    ana, olga = visit("ana"), visit("olga")
    page = text(ana.post(f"/approvals/{request.id}/claim", {"back": f"/approvals/{request.id}"}))
    assert "You work on this until" in page
    theirs = text(olga.get(f"/approvals/{request.id}"))
    assert "Ana</strong> works on this until" in theirs
    assert "Take it over" in theirs
    assert 'name="verdict" value="approve"' not in theirs
    text(ana.post(f"/approvals/{request.id}/release", {"back": f"/approvals/{request.id}"}))
    assert 'name="verdict" value="approve"' in text(olga.get(f"/approvals/{request.id}"))


def test_an_admin_takes_a_claim_over_and_an_approver_does_not(
    visit: Visit, begin: Callable[..., Run], cast: Cast
) -> None:
    request = request_of(begin("x [pause]"))
    visit("olga").post(f"/approvals/{request.id}/claim")
    page = text(visit("ana").post(f"/approvals/{request.id}/claim", {"take_over": "1"}))
    assert "Olga is working on this request" in page
    visit("ana").post(f"/approvals/{request.id}/release")
    request.refresh_from_db()
    assert request.claimed_by is not None
    assert request.claimed_by["name"] == "Olga"


def test_handing_over_to_a_group_with_a_note(visit: Visit, begin: Callable[..., Run], cast: Cast) -> None:
    group = Group.objects.create(team=cast.team, name="Finance")
    group.users.add(cast.people["ana"])
    request = request_of(begin("x [pause]"))
    page = text(visit("olga").post(f"/approvals/{request.id}/assign", {"assignee": group.id, "note": "yours, I think"}))
    assert "Meant for Finance" in page
    assert "yours, I think" in page
    assert request.title in text(visit("ana").get("/?who=groups"))
    assert "No open request fits this filter" in text(visit("ana").get("/?who=mine"))


def test_handing_over_to_somebody_who_may_not_decide_is_refused(
    visit: Visit, begin: Callable[..., Run], cast: Cast
) -> None:
    request = request_of(begin("x [pause]"))
    page = text(visit("olga").post(f"/approvals/{request.id}/assign", {"assignee": cast.people["bob"].id}))
    assert "Must be a person or group of the team that may decide." in page
    request.refresh_from_db()
    assert request.assignee is None


def test_more_time_is_given_and_nonsense_is_not(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [pause]", awaiting_human_timeout_seconds=600))
    assert request.expires_at is not None
    ana = visit("ana")
    assert "+ 15 minutes" in text(ana.get(f"/approvals/{request.id}"))
    ana.post(f"/approvals/{request.id}/extend", {"seconds": "900"})
    for nonsense in ("", "-5", "9" * 30, "soon", "0"):
        assert "Choose by how much" in text(ana.post(f"/approvals/{request.id}/extend", {"seconds": nonsense}))
    later = Approval.objects.get(id=request.id).expires_at
    assert later == request.expires_at + timedelta(seconds=900)


def test_a_request_without_an_end_offers_no_more_time(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [pause]"))
    assert "More time" not in text(visit("ana").get(f"/approvals/{request.id}"))


def test_words_are_said_beside_it_by_who_may_only_look(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [pause]"))
    page = text(visit("bob").post(f"/approvals/{request.id}/comment", {"text": "is this <b>ours</b>?"}))
    assert "is this &lt;b&gt;ours&lt;/b&gt;?" in page
    assert "Write something first." in text(visit("bob").post(f"/approvals/{request.id}/comment", {"text": "  "}))
    assert request.comments.count() == 1


def test_values_are_changed_in_place_and_the_agent_acts_on_them(visit: Visit, begin: Callable[..., Run]) -> None:
    request = ask(begin)
    ana = visit("ana")
    page = text(ana.get(f"/approvals/{request.id}"))
    assert 'name="p.x" type="number"' in page
    sent = {
        "verdict": "approve",
        "action_hash": request.action_hash,
        "p.x": "77",
        "p.y": "200",
        "p.button": "left",
        "p.count": "1",
    }
    ana.post(f"/approvals/{request.id}/decide", sent)
    drive_all()
    decision = Decision.objects.get(approval=request)
    assert decision.action_before is not None
    assert decision.action_after is not None
    assert (decision.action_before["params"]["x"], decision.action_after["params"]["x"]) == (101, 77)
    assert Step.objects.get(run_id=request.run_id).action["params"]["x"] == 77
    call = RunEvent.objects.get(run_id=request.run_id, type="tool_call")
    assert (call.data["edited"], call.data["params"]["x"]) == (True, 77)


def test_an_untouched_form_is_no_edit(visit: Visit, begin: Callable[..., Run]) -> None:
    request = ask(begin)
    sent = {"verdict": "approve", "p.x": "101", "p.y": "200", "p.button": "left", "p.count": "1"}
    visit("ana").post(f"/approvals/{request.id}/decide", sent)
    request.refresh_from_db()
    assert (request.status, request.edited_action) == ("approved", None)


def test_lines_of_text_come_back_as_they_were(visit: Visit, begin: Callable[..., Run]) -> None:
    request = ask(begin)
    action = request.action | {"name": "type_text", "params": {"text": "one\ntwo"}} if request.action else {}
    Approval.objects.filter(id=request.id).update(action=action)
    visit("ana").post(f"/approvals/{request.id}/decide", {"verdict": "approve", "p.text": "one\r\ntwo"})
    request.refresh_from_db()
    assert (request.status, request.edited_action) == ("approved", None)


def test_a_wrong_value_stays_beside_its_field(visit: Visit, begin: Callable[..., Run]) -> None:
    request = ask(begin)
    for wrong in ("many", "99999"):
        page = text(visit("ana").post(f"/approvals/{request.id}/decide", {"verdict": "approve", "p.x": wrong}))
        assert f'value="{wrong}"' in page
        assert f'id="{request.id}-p.x-error"' in page
    request.refresh_from_db()
    assert request.status == "pending"


def test_text_with_hidden_characters_is_not_put_into_a_field(visit: Visit, begin: Callable[..., Run]) -> None:
    request = ask(begin)
    action = request.action | {"name": "type_text", "params": {"text": "abc\u202edef"}} if request.action else {}
    Approval.objects.filter(id=request.id).update(action=action)
    page = text(visit("ana").get(f"/approvals/{request.id}"))
    assert 'name="p.text"' not in page
    assert "U+202E" in page


def test_the_receipt_goes_on_to_the_step(visit: Visit, begin: Callable[..., Run]) -> None:
    request = ask(begin)
    ana = visit("ana")
    page = text(ana.post(f"/approvals/{request.id}/decide", {"verdict": "approve", "back": "/"}))
    assert "on its way to the agent" in page
    assert "data-unfinished" in page
    drive_all()
    page = text(ana.get(f"/?decided={request.id}"))
    assert "delivered" in page
    assert "step 1 done" in page
    assert "data-unfinished" not in page


@pytest.mark.parametrize(("who", "shown"), [("free", False), ("others", True), ("", True), ("mine", False)])
def test_the_queue_is_filtered_by_who_works_on_it(
    visit: Visit, begin: Callable[..., Run], who: str, shown: bool
) -> None:
    request = request_of(begin("x [pause]"))
    visit("olga").post(f"/approvals/{request.id}/claim")
    assert (f'id="row-{request.id}"' in text(visit("ana").get(f"/?who={who}"))) is shown
    Approval.objects.filter(id=request.id).update(claim_expires_at=timezone.now() - timedelta(seconds=1))
    assert f'id="row-{request.id}"' in text(visit("ana").get("/?who=free"))


def test_the_queue_has_pages(visit: Visit, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("approvals.queue.views.SHOWN", 2)
    requests = [request_of(begin("x [pause]")) for _ in range(3)]
    first = text(visit("ana").get("/"))
    assert [f'id="row-{r.id}"' in first for r in requests] == [True, True, False]
    cursor = first.split("cursor=")[1].split('"')[0].split("&")[0]
    second = text(visit("ana").get(f"/?cursor={cursor}"))
    assert [f'id="row-{r.id}"' in second for r in requests] == [False, False, True]
    assert visit("ana").get("/?cursor=nonsense").status_code == 400


def test_asked_again_the_card_shows_both_screens_and_why(visit: Visit, begin: Callable[..., Run], cast: Cast) -> None:
    first = ask(begin)
    again = ask(begin)
    Approval.objects.filter(id=first.id).update(
        status="void", void_reason="screen_changed", resolved_at=timezone.now(), replaced_by=again.id
    )
    Approval.objects.filter(id=again.id).update(previous_approval_id=first.id)
    page = text(visit("ana").get(f"/approvals/{again.id}"))
    assert "the screen has changed since it was approved" in page
    for shown in (first, again):
        assert f"/runs/{shown.run_id}/screenshots/{shown.evidence['screenshot_index']}.png" in page
