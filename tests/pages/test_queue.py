"""The queue: what waits, in which order, and what is shown when nothing does."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from approvals.models import Approval
from runs.models import Run
from runs.starting.views import SAMPLE_TASK
from tests.cast import Api, Cast
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
    assert "1 decided today by people, median" in page
    assert "API keys" not in page
    assert "Approved by you" in page


def test_people_and_keys_are_counted_apart(visit: Visit, begin: Callable[..., Run], test_key: Api) -> None:
    by_hand, by_key = request_of(begin("a [pause]")), request_of(begin("b [pause]"))
    Approval.objects.filter(id=by_hand.id).update(created_at=timezone.now() - timedelta(seconds=40))
    assert test_key.post(f"/approvals/{by_key.id}/decide", {"verdict": "approve"}).status_code == 200
    page = text(visit("ana").post(f"/approvals/{by_hand.id}/decide", {"verdict": "approve", "back": "/"}))
    assert "1 decided today by people, median 40 s" in page
    assert "1 by API keys." in page


def test_a_row_says_what_is_asked(visit: Visit, begin: Callable[..., Run]) -> None:
    begin("x [question]")
    begin("[spend] [steps:1]", human_in_the_loop=True, permission_mode="approval")
    begin("y", human_in_the_loop=True, permission_mode="plan")
    page = text(visit("ana").get("/"))
    bold = re.findall(r'queue-title">(.*?)</span>', page, re.DOTALL)
    assert sorted(bold) == [
        "Click at 101, 200 on shop.test (spends money)", "“1. click\n2. type\n3. press”", "“Which inbox?”",
    ]  # fmt: skip


def test_a_tab_says_what_is_asked(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [question]"))
    page = text(visit("ana").get(f"/approvals/{request.id}"))
    assert "<title>The agent asks a question: “Which inbox?” · Countersign</title>" in page


def test_after_a_decision_the_next_row_below_opens_and_after_the_last_the_first(
    visit: Visit, begin: Callable[..., Run]
) -> None:
    first, second, third = (request_of(begin(f"{n} [pause]")) for n in range(3))
    ana = visit("ana")
    for decided, following in ((second, third), (third, first)):
        answer = ana.post(f"/approvals/{decided.id}/decide", {"verdict": "approve", "back": "/?kind=approval"})
        assert f'id="card-{following.id}"' in text(answer)
        assert f"open={following.id}" in answer.redirect_chain[-1][0]
    page = text(ana.post(f"/approvals/{first.id}/decide", {"verdict": "approve", "back": "/?kind=approval"}))
    assert "Nothing waits for you." in page


def test_the_order_of_the_list_says_what_is_below(visit: Visit, begin: Callable[..., Run]) -> None:
    old = request_of(begin("old [pause]"))
    begin("urgent [pause]", priority=9)
    soon = request_of(begin("soon [pause]", awaiting_human_timeout_seconds=600))
    urgent = Approval.objects.get(priority=9)
    ana = visit("ana")
    assert f"open={urgent.id}" in ana.post(f"/approvals/{soon.id}/decide", {"verdict": "approve"}).redirect_chain[-1][0]
    assert f"open={old.id}" in ana.post(f"/approvals/{urgent.id}/decide", {"verdict": "approve"}).redirect_chain[-1][0]


def test_what_comes_meanwhile_takes_no_open_cards_place(visit: Visit, begin: Callable[..., Run]) -> None:
    open_one = request_of(begin("slow [pause]"))
    ana = visit("ana")
    address = re.search(r'id="live" hx-get="([^"]+)"', text(ana.get("/")))
    assert address
    urgent = request_of(begin("urgent [pause]", priority=9))
    page = text(ana.get(address[1].replace("&amp;", "&"), HX_Request="true"))
    assert f'id="card-{open_one.id}"' in page
    assert f"row-{urgent.id}" in page
    assert page.count("?keep=") == 1


def test_the_other_worlds_and_teams_requests_are_not_there(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("a [pause]"))
    assert request.id not in text(visit("ana", "live").get("/"))
    assert request.id not in text(visit("charlie").get("/"))
    drive_all()
