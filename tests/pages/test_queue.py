"""The queue: what waits, in which order, and what is shown when nothing does."""

from collections.abc import Callable

import pytest

from approvals.models import Approval
from runs.models import Run
from runs.views import SAMPLE_TASK
from tests.cast import Cast
from tests.pages.conftest import Visit, request_of, text
from tests.runs.driving import drive_all

pytestmark = pytest.mark.django_db


def test_on_first_use_it_offers_the_sample_run_to_who_may_start_one(visit: Visit) -> None:
    assert "Start the sample run</button>" in text(visit("alice").get("/"))
    assert "Start the sample run</button>" not in text(visit("bob").get("/"))


def test_the_sample_run_starts_and_asks(visit: Visit) -> None:
    page = visit("alice").post("/runs/sample")
    assert page.status_code == 200
    assert Run.objects.get().task == SAMPLE_TASK


def test_without_a_terminal_machine_the_sample_run_says_what_to_do(visit: Visit) -> None:
    answer = visit("alice", "live").post("/runs/sample")
    assert (
        "needs a terminal machine" in text(visit("alice", "live").get("/machines"))
        or "/machines/new" in answer.redirect_chain[-1][0]
    )


def test_the_least_time_left_stands_first_then_priority_then_age(visit: Visit, begin: Callable[..., Run]) -> None:
    old, urgent, ending = (
        begin("old [pause]"),
        begin("urgent [pause]", priority=9),
        begin("ending [pause]", awaiting_human_timeout_seconds=600),
    )
    page = text(visit("ana").get("/"))
    order = sorted((old, urgent, ending), key=lambda r: page.index(f"row-{request_of(r).id}"))
    assert order == [ending, urgent, old]
    assert "3 open requests hold up 3 runs" in page
    assert "<title>(3) Queue" in page


def test_the_filter_is_in_the_address(visit: Visit, begin: Callable[..., Run], cast: Cast) -> None:
    asked, approved = request_of(begin("a [question]")), request_of(begin("b [pause]"))
    Approval.objects.filter(id=approved.id).update(assignee=cast.people["ana"].id)
    ana = visit("ana")
    assert f"row-{asked.id}" in text(ana.get("/?kind=question"))
    assert f"row-{approved.id}" not in text(ana.get("/?kind=question"))
    assert f"row-{approved.id}" in text(ana.get("/?who=mine"))
    assert f"row-{asked.id}" not in text(ana.get("/?who=mine"))


def test_the_card_of_the_chosen_request_stands_beside_the_list(visit: Visit, begin: Callable[..., Run]) -> None:
    first, second = request_of(begin("a [pause]")), request_of(begin("b [pause]"))
    ana = visit("ana")
    assert f'id="card-{first.id}"' in text(ana.get("/"))
    assert f'id="card-{second.id}"' in text(ana.get(f"/?open={second.id}"))
    assert f'id="card-{first.id}"' in text(ana.get("/?open=apr_unknown"))


def test_when_all_is_decided_it_says_how_many_and_how_fast(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("a [pause]"))
    ana = visit("ana")
    page = text(ana.post(f"/approvals/{request.id}/decide", {"verdict": "approve", "back": "/"}))
    assert "Nothing waits for you." in page
    assert "1 decided today, median" in page
    assert "Approved by you" in page


def test_the_other_worlds_and_teams_requests_are_not_there(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("a [pause]"))
    assert request.id not in text(visit("ana", "live").get("/"))
    assert request.id not in text(visit("charlie").get("/"))
    drive_all()
