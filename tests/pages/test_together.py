"""Deciding alike requests together: the table of differences, and each decision by itself."""

from collections.abc import Callable

import pytest

from approvals.answers.answer import Answer
from approvals.deciding import decide
from approvals.models import Approval, Decision
from runs.models import Run
from tests.cast import Cast
from tests.pages.conftest import Visit, request_of, text

pytestmark = pytest.mark.django_db


def asks(begin: Callable[..., Run], *tasks: str) -> list[Approval]:
    made = [begin(task, human_in_the_loop=True, permission_mode="approval") for task in tasks]
    return [request_of(run) for run in made]


def test_what_differs_stands_in_a_table_and_what_is_the_same_does_not(visit: Visit, begin: Callable[..., Run]) -> None:
    one, two = asks(begin, "first task", "second task")
    page = text(visit("ana").get(f"/together?id={one.id}&id={two.id}"))
    assert "They are alike." in page
    head = page.split("<thead>")[1].split("</thead>")[0]
    assert "Task" in head
    assert ">x<" not in head
    assert "Approve all 2" in page


def test_different_sorts_are_decided_apart(visit: Visit, begin: Callable[..., Run]) -> None:
    (tool,) = asks(begin, "a click")
    question = request_of(begin("x [question]"))
    page = text(visit("ana").get(f"/together?id={tool.id}&id={question.id}"))
    assert "They are of 2 sorts" in page
    assert "together they can only be declined" in page


def test_all_are_approved_and_the_lost_ones_are_told(visit: Visit, begin: Callable[..., Run], cast: Cast) -> None:
    one, two, three = asks(begin, "one", "two", "three")
    decide(cast.actor("olga", test=True), three, Answer("reject"), via="dashboard")
    ana = visit("ana")
    ana.post(f"/approvals/{two.id}/claim")
    visit("olga").post(f"/approvals/{one.id}/claim")
    page = text(ana.post("/together", {"id": [one.id, two.id, three.id], "verdict": "approve", "note": "as agreed"}))
    assert "1 request approved." in page
    assert "Olga is working on this request" in page
    assert "1 of the chosen requests had been closed meanwhile." in page
    assert Decision.objects.get(approval=two).note == "as agreed"
    assert Approval.objects.get(id=one.id).status == "pending"


def test_what_changed_since_the_table_was_shown_is_not_approved(visit: Visit, begin: Callable[..., Run]) -> None:
    one, two = asks(begin, "one", "two")
    sent = {"id": [one.id, two.id], "verdict": "approve", f"hash.{one.id}": one.action_hash, f"hash.{two.id}": "0" * 64}
    page = text(visit("ana").post("/together", sent))
    assert "1 request approved." in page
    assert "no longer the one you looked at" in page


def test_a_second_click_finds_nothing_to_decide(visit: Visit, begin: Callable[..., Run]) -> None:
    one, two = asks(begin, "one", "two")
    ana = visit("ana")
    for words in ("2 requests rejected.", "none of the chosen requests is open any more"):
        assert words in text(ana.post("/together", {"id": [one.id, two.id], "verdict": "reject"}))


def test_nothing_chosen_and_strangers_requests_lead_back_to_the_queue(visit: Visit, begin: Callable[..., Run]) -> None:
    (one,) = asks(begin, "one")
    assert visit("ana").get("/together")["Location"] == "/"
    visit("charlie").post("/together", {"id": [one.id], "verdict": "approve"})
    assert visit("bob").get(f"/together?id={one.id}").status_code == 403
    assert Approval.objects.get(id=one.id).status == "pending"


def test_what_stands_at_the_prompt_and_the_agents_words_are_among_the_facts(
    visit: Visit, begin: Callable[..., Run]
) -> None:
    one, two = asks(begin, "one", "two")
    one.evidence |= {"prompt_at": "prompt", "prompt_line": "rm -r old"}
    two.evidence |= {"prompt_at": "program", "prompt_line": ""}
    two.agent_message = "Only a small step."
    for each in (one, two):
        each.save(update_fields=["evidence", "agent_message"])
    page = text(visit("ana").get(f"/together?id={one.id}&id={two.id}"))
    assert "At the prompt" in page.split("<thead>")[1].split("</thead>")[0]
    for words in ("rm -r old", "A program has the terminal", "Only a small step."):
        assert words in page
