"""approve() and ask(): what people decide, and what happens when the way to them breaks. Each with a thread and on an event loop."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from countersign import ActionChanged, AsyncClient, Client, CountersignError, NotApproved, Refused, Unreachable, plans

from tests.clients.stub import Stub

Run = Callable[..., Any]


@pytest.fixture(params=[Client, AsyncClient])
def do(request: pytest.FixtureRequest, stub: Stub) -> Run:
    """do("approve", …) calls the sync or the async client."""
    client = request.param()

    def call(name: str, *args: Any, **kwargs: Any) -> Any:
        outcome = getattr(client, name)(*args, **kwargs)
        return asyncio.run(outcome) if inspect.iscoroutine(outcome) else outcome

    return call


def decides(status: str, note: str = "", **more: Any) -> Callable[[Stub, dict[str, Any]], None]:
    return lambda stub, row: stub.decide(row["id"], status, note, **more)


def later(stub: Stub, *steps: Callable[[str], None]) -> None:
    """Each step is taken once one more wait was begun than before it."""

    def person() -> None:
        for number, step in enumerate(steps, 1):
            stub.waits(number)
            step("apr_1")

    threading.Thread(target=person).start()


def test_a_yes_is_true_and_a_no_comes_with_its_reason(stub: Stub, do: Run) -> None:
    later(stub, lambda i: stub.decide(i, "approved"))
    verdict = do("approve", "pay", {"amount": 40}, risk="spend", external_id="a", message="For the party.")
    assert verdict
    assert (verdict.status, verdict.params, verdict.decided_by) == ("approved", {"amount": 40}, "Ana")
    assert not verdict.is_edited
    assert stub.calls[0][2] == {
        "kind": "tool", "title": "Run pay", "message": "For the party.", "external_id": "a",
        "action": {"name": "pay", "params": {"amount": 40}, "risk": "spend"},
    }  # fmt: skip
    stub.person = decides("rejected", "Too much.")
    verdict = do("approve", "pay", {"amount": 900})
    assert not verdict
    assert verdict.note == "Too much."
    with pytest.raises(NotApproved, match=r"rejected: Too much\."):
        verdict.or_raise()


@pytest.mark.parametrize("status", ["expired", "cancelled", "void"])
def test_what_nobody_approved_is_false(stub: Stub, do: Run, status: str) -> None:
    stub.person = decides(status)
    assert not do("approve", "pay", {"amount": 40})


def test_an_answer_is_the_option_or_the_words(stub: Stub, do: Run) -> None:
    stub.person = decides("answered", answers={"answer": {"value": "blue", "custom": False}})
    verdict = do("ask", "Which colour?", ["red", "blue"])
    assert verdict
    assert verdict.answer == "blue"
    assert stub.calls[0][2]["questions"] == [
        {"id": "answer", "question": "Which colour?", "options": [{"label": "red"}, {"label": "blue"}]}
    ]
    stub.person = decides("answered", answers={"a": [{"value": "x", "custom": True}, {"value": "y", "custom": False}]})
    assert do("ask", "Which?").answers == {"a": ["x", "y"]}


def test_a_wait_with_an_end_leaves_the_request_open_and_can_be_gone_on_with(stub: Stub, do: Run) -> None:
    verdict = do("approve", "pay", {"amount": 40}, wait=0.01)
    assert verdict.is_pending
    assert not verdict
    assert stub.rows[verdict.id]["status"] == "pending"
    stub.decide(verdict.id, "approved")
    assert do("wait", verdict.id)


@pytest.mark.parametrize("misdeed", ["cut", "cut after", "half", 429, 500, 503, (409, "IDEMPOTENCY_IN_FLIGHT")])
def test_a_request_that_is_sent_twice_is_opened_once(stub: Stub, do: Run, misdeed: Any) -> None:
    stub.misdeeds = [misdeed, misdeed]
    stub.person = decides("approved")
    assert do("approve", "pay", {"amount": 40})
    assert len(stub.rows) == 1
    keys = {call[3]["Idempotency-Key"] for call in stub.calls if call[0] == "POST"}
    assert stub.count("POST") == 3
    assert len(keys) == 1


@pytest.mark.parametrize("misdeed", ["cut", "half", 429, 502, 503])
def test_a_wait_that_is_cut_is_asked_again(stub: Stub, do: Run, misdeed: Any, caplog: pytest.LogCaptureFixture) -> None:
    approval = do("open", {"kind": "approval", "title": "Go?"})
    stub.misdeeds = [misdeed] * 3
    later(stub, lambda i: None, lambda i: None, lambda i: None, lambda i: stub.decide(i, "approved"))
    assert do("decided", approval)
    assert stub.count("GET", "wait=") >= 4
    assert [record.levelname for record in caplog.records if "asked again" in record.message] == ["WARNING"]


def test_a_server_that_answers_at_once_is_not_asked_in_a_circle(
    stub: Stub, do: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two programs that wait with one key for one request end each other's wait, again and again."""
    paused: list[int] = []
    monkeypatch.setattr(plans, "backoff", lambda attempt: paused.append(attempt) or 0.0)
    stub.impatient = True
    later(stub, *[lambda i: None] * 3, lambda i: stub.decide(i, "approved"))
    assert do("approve", "pay", {"amount": 40})
    assert paused[:3] == [1, 2, 3]


def test_a_refusal_is_not_repeated(stub: Stub, do: Run) -> None:
    stub.misdeeds = [(422, "VALIDATION_ERROR")]
    with pytest.raises(Refused, match="422 VALIDATION_ERROR") as refusal:
        do("approve", "pay", {"amount": 40})
    assert (refusal.value.status, refusal.value.code) == (422, "VALIDATION_ERROR")
    assert len(stub.calls) == 1


def test_a_redirect_does_not_take_the_key_elsewhere(stub: Stub, do: Run) -> None:
    stub.misdeeds = ["redirect"]
    with pytest.raises(Refused, match="307"):
        do("get", "apr_1")


def test_who_gives_up_waiting_says_what_is_still_open(stub: Stub, do: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "WAITING_PATIENCE", 0)
    approval = do("open", {"kind": "approval", "title": "Go?"})
    stub.misdeeds = [503]
    with pytest.raises(Unreachable, match="503 TROUBLE") as trouble:
        do("decided", approval)
    assert trouble.value.approval_id == approval["id"]


def test_nobody_there(do: Run, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(plans, "PATIENCE", 0.01)
    with pytest.raises(Unreachable):
        Client().approve("pay", {})
    with pytest.raises(Unreachable):
        asyncio.run(AsyncClient().approve("pay", {}))


@pytest.mark.parametrize(
    ("url", "key"), [("ftp://x", "k"), ("", "k"), ("countersign.test", "k"), ("http://x", " "), ("http://x", "a\nb")]
)
def test_where_and_with_what_must_be_said(url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUNTERSIGN_URL", raising=False)
    monkeypatch.delenv("COUNTERSIGN_API_KEY", raising=False)
    with pytest.raises(CountersignError, match="COUNTERSIGN_"):
        Client(url, key)


def test_the_address_may_end_with_the_path_of_the_API(stub: Stub) -> None:
    assert Client(f"{stub.url}/v1/").queue() == []


def test_an_edit_is_what_to_act_with(stub: Stub, do: Run) -> None:
    edit = {"name": "pay", "params": {"amount": 30}}
    stub.person = decides("approved", edited_action=edit, action_hash="that of the edit")
    verdict = do("approve", "pay", {"amount": 40})
    assert verdict
    assert verdict.is_edited
    assert verdict.params == {"amount": 30}


@pytest.mark.parametrize(
    "change",
    [
        {"action_hash": "another"},
        {"action": {"name": "pay", "params": {"amount": 9000}}},
        {"action": {"name": "erase", "params": {"amount": 40}}},
        {"edited_action": {"name": "erase", "params": {"amount": 40}}},
    ],
)
def test_an_approval_of_another_action_is_none(stub: Stub, do: Run, change: dict[str, Any]) -> None:
    stub.person = decides("approved", **change)
    with pytest.raises(ActionChanged):
        do("approve", "pay", {"amount": 40})


def test_an_older_request_of_this_name_about_another_action_is_not_taken_for_ours(stub: Stub, do: Run) -> None:
    stub.person = decides("approved")
    do("approve", "pay", {"amount": 40}, external_id="a")
    with pytest.raises(ActionChanged):
        do("approve", "pay", {"amount": 9000}, external_id="a")


def test_a_decision_that_can_be_taken_back_is_none_yet(stub: Stub, do: Run) -> None:
    """It is looked at again when the time for that is over; here somebody has taken it back by then."""
    stub.regret = lambda _, row: stub.reopen(row["id"])
    later(
        stub,
        lambda i: stub.decide(i, "approved", undo=0.1),
        lambda i: stub.decide(i, "rejected", "On second thoughts, no."),
    )
    assert do("approve", "pay", {"amount": 40}).status == "rejected"


def test_a_decision_that_nobody_takes_back_stands(stub: Stub, do: Run) -> None:
    stub.person = decides("approved", undo=0.1)
    assert do("approve", "pay", {"amount": 40})


def test_what_JSON_does_not_know_is_not_sent(stub: Stub, do: Run) -> None:
    with pytest.raises(ValueError, match="JSON"):
        do("approve", "pay", {"amount": float("nan")})
    assert stub.calls == []


async def test_a_cancelled_task_stops_waiting_at_once(stub: Stub, aclient: AsyncClient) -> None:
    task = asyncio.create_task(aclient.approve("pay", {"amount": 40}))
    await asyncio.to_thread(stub.waits)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_many_waits_need_no_thread_each(stub: Stub, aclient: AsyncClient) -> None:
    before = set(threading.enumerate())
    tasks = [asyncio.create_task(aclient.approve("pay", {"n": n})) for n in range(60)]
    await asyncio.to_thread(stub.waits, 60)
    more = [thread for thread in threading.enumerate() if thread not in before and "asyncio" in thread.name]
    assert len(more) <= 1  # that of stub.waits
    for approval_id in list(stub.rows):
        stub.decide(approval_id, "approved")
    assert all(await asyncio.gather(*tasks))
