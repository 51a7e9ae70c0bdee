"""Deciding with plain forms, as every browser can: approve, reject, answer, submit; lost races; who may not."""

from collections.abc import Callable

import pytest
from django.template.loader import render_to_string

from accounts.models import Team
from approvals.answers.answer import Answer
from approvals.cards.forms import value_fields
from approvals.deciding import decide
from approvals.models import Approval, Decision
from runs.models import Run
from tests.cast import Cast
from tests.pages.conftest import Visit, Visitor, request_of, text
from tests.pages.reading import read
from tests.runs.driving import drive_all

pytestmark = pytest.mark.django_db


def send(person: Visitor, request: Approval, **form: object) -> str:
    return text(person.post(f"/approvals/{request.id}/decide", form))


def test_approving_lets_the_run_go_on(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [pause]")
    page = send(visit("ana"), request_of(run), verdict="approve", back=f"/runs/{run.id}")
    drive_all()
    run.refresh_from_db()
    assert run.status == "succeeded"
    assert "Approved by you" in page
    assert Decision.objects.get().via == "dashboard"


def test_rejecting_tells_the_agent_the_preset_and_the_reason(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [pause]")
    send(visit("ana"), request_of(run), verdict="reject", preset="Wrong value", note="It is 12, not 21", back="/")
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.error is not None
    assert run.error["message"] == "Wrong value. It is 12, not 21"


def test_words_that_are_too_long_decide_nothing(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [pause]")
    answer = visit("ana").post(
        f"/approvals/{request_of(run).id}/decide", {"verdict": "reject", "preset": "Not now", "note": "n" * 2000}
    )
    assert answer.status_code == 422
    assert "Must have at most 2000 characters." in text(answer)
    assert not Decision.objects.exists()


def test_a_question_is_answered_by_a_circle_or_in_own_words(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [questions:2]")
    send(visit("ana"), request_of(run), **{"verdict": "answer", "q.q1": "Support", "own.q2": "Cheerful"})
    answers = Decision.objects.get().answers
    assert answers == {"q1": {"value": "Support", "custom": False}, "q2": {"value": "Cheerful", "custom": True}}


def test_several_boxes_and_own_words_count_together(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [question:multi]")
    send(visit("ana"), request_of(run), **{"verdict": "answer", "q.q1": ["Sales", "Support"], "own.q1": "Press"})
    answers = Decision.objects.get().answers
    assert answers is not None
    assert [a["value"] for a in answers["q1"]] == ["Sales", "Support", "Press"]


def test_a_missing_answer_comes_back_beside_its_question_with_the_rest_kept(
    visit: Visit, begin: Callable[..., Run]
) -> None:
    request = request_of(begin("x [questions:2]"))
    answer = visit("ana").post(f"/approvals/{request.id}/decide", {"verdict": "answer", "q.q1": "Sales"})
    assert answer.status_code == 422
    assert "Needs an answer." in text(answer)
    assert 'value="Sales" checked' in text(answer)
    assert not Decision.objects.exists()


def test_a_circle_and_own_words_at_once_are_not_guessed_at(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [question]"))
    answer = visit("ana").post(
        f"/approvals/{request.id}/decide", {"verdict": "answer", "q.q1": "Sales", "own.q1": "Press"}
    )
    assert answer.status_code == 422
    assert not Decision.objects.exists()


def test_values_are_asked_by_a_generated_form(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [input]"))
    ana = visit("ana")
    form = text(ana.get(f"/approvals/{request.id}"))
    assert 'name="v.recipient"' in form
    assert 'name="v.subject" type="text" value="Hello"' in form
    refused = ana.post(f"/approvals/{request.id}/decide", {"verdict": "submit", "v.subject": "Hi"})
    assert refused.status_code == 422
    assert "Field required." in text(refused)
    assert 'value="Hi"' in text(refused)
    send(ana, request, **{"verdict": "submit", "v.recipient": "eve@acme.test", "v.subject": "Hi"})
    assert Decision.objects.get().values == {"recipient": "eve@acme.test", "subject": "Hi"}


def test_a_secret_is_a_password_field_and_is_never_shown_again(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [secret]")
    ana, request = visit("ana"), request_of(run)
    assert 'name="v.password" type="password" value=""' in text(ana.get(f"/approvals/{request.id}"))
    pages = send(ana, request, **{"verdict": "submit", "v.password": "hunter2hunter2", "back": f"/runs/{run.id}"})
    drive_all()
    pages += text(ana.get(f"/runs/{run.id}")) + text(ana.get(f"/approvals/{request.id}"))
    assert "hunter2" not in pages
    assert "[redacted]" in pages


def test_a_refused_form_does_not_echo_secrets(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [secret]"))
    Approval.objects.filter(id=request.id).update(
        input_schema={
            "type": "object",
            "properties": {"password": {"type": "string", "format": "password"}, "pin": {"type": "integer"}},
            "required": ["password", "pin"],
        }
    )
    page = send(visit("ana"), request, **{"verdict": "submit", "v.password": "hunter2hunter2"})
    assert "Field required." in page
    assert "hunter2" not in page


def test_saying_that_it_is_done_approves_a_takeover_and_takes_a_reason(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x [takeover]")
    ana, request = visit("ana"), request_of(run)
    assert "It is already done…" in text(ana.get(f"/approvals/{request.id}"))
    assert "Say how you know that it is done" in send(ana, request, verdict="approve")
    send(ana, request, verdict="approve", note="I solved it")
    drive_all()
    run.refresh_from_db()
    assert run.status == "succeeded"


def test_a_lost_race_is_a_fact_on_the_card(visit: Visit, begin: Callable[..., Run], cast: Cast) -> None:
    request = request_of(begin("x [pause]"))
    decide(cast.actor("olga", test=True), request, Answer("reject", note="wrong account"), via="dashboard")
    page = send(visit("ana"), request, verdict="approve", back=f"/approvals/{request.id}")
    assert "Rejected by Olga" in page
    assert "“wrong account”" in page
    assert "Your approval came too late and changed nothing." in page


def test_who_may_not_decide_sees_no_button_and_is_refused(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [pause]"))
    for name in ("alice", "bob"):
        person = visit(name)
        page = text(person.get(f"/approvals/{request.id}"))
        assert "You may not decide this request." in page
        assert 'name="verdict"' not in page
        assert "You may not decide this request." in send(person, request, verdict="approve")
    request.refresh_from_db()
    assert request.status == "pending"


def test_a_strangers_decision_finds_nothing(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [pause]"))
    answer = visit("charlie").post(f"/approvals/{request.id}/decide", {"verdict": "approve"})
    assert answer.status_code == 404


def test_looking_never_decides(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [pause]"))
    assert visit("ana").get(f"/approvals/{request.id}/decide?verdict=approve").status_code == 405
    assert request_of(Run.objects.get(id=request.run_id)).id == request.id


def test_an_action_is_bound_to_what_was_shown(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("x", human_in_the_loop=True, permission_mode="approval")
    ana, request = visit("ana"), request_of(run)
    page = text(ana.get(f"/approvals/{request.id}"))
    assert f'name="action_hash" value="{request.action_hash}"' in page
    assert "The action is no longer the one you looked at." in send(
        ana, request, verdict="approve", action_hash="0" * 64
    )
    send(ana, request, verdict="approve", action_hash=request.action_hash)
    request.refresh_from_db()
    assert request.status == "approved"


def test_a_decision_is_remembered_for_this_run(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("[steps:1]", human_in_the_loop=True, permission_mode="approval")
    ana, request = visit("ana"), request_of(run)
    assert "go ahead, in this run" in text(ana.get(f"/approvals/{request.id}"))
    send(ana, request, verdict="approve", remember="run")
    assert Decision.objects.get().remembered


def test_a_decision_is_undone_while_it_has_not_taken_effect(
    visit: Visit, begin: Callable[..., Run], cast: Cast
) -> None:
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=60)
    run = begin("x [pause]")
    ana, request = visit("ana"), request_of(run)
    assert "Undo <kbd>u</kbd></button>" in send(ana, request, verdict="approve", back="/")
    assert "Undo <kbd>u</kbd></button>" not in text(visit("bob").get(f"/approvals/{request.id}"))
    page = text(ana.post(f"/approvals/{request.id}/undo", {"back": f"/approvals/{request.id}"}))
    assert 'data-key="a"' in page
    request.refresh_from_db()
    assert request.status == "pending"
    assert visit("bob").post(f"/approvals/{request.id}/undo").status_code == 403


def test_a_plan_is_approved_or_sent_back_with_words(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin("three steps", human_in_the_loop=True, permission_mode="plan")
    ana, first = visit("ana"), request_of(run)
    page = text(ana.get(f"/approvals/{first.id}"))
    assert "1. click" in page
    assert "Approve the plan" in page
    send(ana, first, verdict="revise", note="slower")
    drive_all()
    second = request_of(run)
    assert second.id != first.id
    send(ana, second, verdict="approve")
    drive_all()
    run.refresh_from_db()
    assert run.status == "succeeded"


def test_the_ring_stands_where_the_action_will_land(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x", human_in_the_loop=True, permission_mode="approval"))
    page = text(visit("ana").get(f"/approvals/{request.id}"))
    assert 'cx="101" cy="200"' in page
    assert f"/runs/{request.run_id}/screenshots/{request.evidence['screenshot_index']}.png" in page


def test_with_htmx_a_wrong_form_comes_back_as_the_card_alone(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [question]"))
    answer = visit("ana").post(f"/approvals/{request.id}/decide", {"verdict": "answer"}, HX_Request="true")
    assert answer.status_code == 422
    assert answer["HX-Retarget"] == f"#card-{request.id}"
    assert read(text(answer)).headings.count("h1") == 0


def test_an_expired_request_stays_with_what_happened(visit: Visit, begin: Callable[..., Run]) -> None:
    from django.utils import timezone

    from approvals.deciding import expire

    request = request_of(begin("x [pause]", awaiting_human_timeout_seconds=60))
    Approval.objects.filter(id=request.id).update(expires_at=timezone.now())
    ana = visit("ana")
    assert "nobody answered" in text(ana.get(f"/approvals/{request.id}"))
    expire(request.id)
    page = text(ana.get(f"/approvals/{request.id}"))
    assert "Nobody answered in time; the run was cancelled." in page
    assert 'name="verdict"' not in page


def test_the_bounds_of_a_field_are_attributes_with_spaces_between_them() -> None:
    (field,) = value_fields({"properties": {"days": {"type": "integer", "minimum": 1, "maximum": 5}}})
    assert ' min="1" max="5"' in render_to_string("approvals/_value.html", {"field": field})
    field.name, field.kind = "edit.days", "textarea"
    assert ' min="1" max="5"' in render_to_string("approvals/_edits.html", {"card": {"edits": [field]}})
