"""Agents that think: what their model said is kept, and never paid for twice (guides/models.md section 2)."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.actor import Actor
from approvals.answers.answer import Answer
from approvals.deciding import decide as settle
from approvals.models import Approval, Decision
from inference.models import Call
from machines import pictures
from runs.agents.base import Act, Again, Ask, Context, GuardReached, Verdict
from runs.agents.base import Decision as Move
from runs.driving import leases
from runs.models import Run, Screenshot, Step
from tests.cast import Api, Cast
from tests.runs.driving import (
    Falling,
    Inline,
    Once,
    begin,
    data_of,
    drive_all,
    drive_and_die,
    drive_and_fall,
    ended,
    go,
    kinds,
    log,
    request_of,
    show,
    simulated,
    status_of,
    waiting,
)  # fmt: skip
from tests.runs.invariants import check_run
from tests.runs.thinker import ASKING, DONE, KEY, TEXT, Play, Want, click, decide, record
from tests.takeover.control import drive_with, release, take

pytestmark = pytest.mark.django_db


def texts(run_id: str) -> list[str]:
    return [data["text"] for data in data_of(run_id, "text")]


def steps(run_id: str) -> list[tuple[str, dict[str, Any], bool]]:
    """The completed ones: name, parameters, whether it was left out."""
    rows = Step.objects.filter(run_id=run_id, status="completed").order_by("index")
    return [(row.action["name"], row.action["params"], row.skipped) for row in rows]


# --- a thought is kept


def test_T_186_a_thought_is_committed_before_people_are_asked_and_is_not_asked_for_again(
    test_key: Api, play: Play
) -> None:
    thinker = play([click(1)], [DONE])
    run = waiting(test_key, **ASKING)
    row = Run.objects.get(id=run["id"])
    assert row.memory["now"]["at"] == 0
    assert kinds(run["id"])[2:4] == ["reasoning", "text"]
    assert Call.objects.filter(run_id=run["id"], step_index=1, purpose="act", status="ok").count() == 1
    assert request_of(test_key, run)["agent_message"] == "thought: 0"
    done = decide(test_key, run)
    assert (done["status"], done["steps_completed"]) == ("succeeded", 1)
    assert thinker.model.calls == Call.objects.filter(run_id=run["id"]).count() == 2
    assert texts(run["id"]) == ["thought: 0", "thought: 1"]  # said once, although it was decided on twice
    assert not Approval.objects.filter(run_id=run["id"], status="void").exists()
    assert "thought: 0" in Step.objects.get(run_id=run["id"]).text
    check_run(run["id"])


def test_T_186_agents_that_do_not_think_keep_their_two_commits_for_a_step(test_key: Api) -> None:
    """Scripted and playbook pay nothing for what models need."""

    class Counting(Inline):
        def __init__(self) -> None:
            self.work: list[str] = []

        async def db(self, work: Callable[..., Any], *args: Any) -> Any:
            self.work.append(work.__name__)
            return await super().db(work, *args)

    begin(test_key, "x [steps:3]", agent="scripted")
    begin(test_key, "wait 0 seconds\nwait 0 seconds\nwait 0 seconds", agent="playbook")
    for run_id, epoch in leases.claim(Inline.name, 2):
        host = Counting()
        go(Once(host, run_id, epoch))
        assert host.work == ["load", *["rule", "write_intent", "write_outcome"] * 3, "end"]
        assert status_of(run_id) == "succeeded"


def test_T_186_a_batch_is_one_thought_and_several_steps_each_asked_about(test_key: Api, play: Play) -> None:
    thinker = play([click(1), TEXT, KEY], [DONE])
    run = waiting(test_key, **ASKING)
    for name in ("click", "type_text", "key_press"):
        assert request_of(test_key, run)["action"]["name"] == name
        run = decide(test_key, run)
    assert (run["status"], run["steps_completed"], thinker.model.calls) == ("succeeded", 3, 2)
    assert texts(run["id"]) == ["thought: 0", "thought: 3"]
    check_run(run["id"])


def test_T_186_people_see_the_very_picture_that_the_model_saw(test_key: Api, play: Play) -> None:
    thinker = play([click(1)], [DONE])
    run = waiting(test_key, **ASKING)
    seen = thinker.contexts[0]
    assert seen.frame is not None
    assert pictures.read(seen.picture or "") == seen.frame.png
    index = request_of(test_key, run)["evidence"]["screenshot_index"]
    assert Screenshot.objects.get(run_id=run["id"], index=index).sha256 == seen.picture
    decide(test_key, run)
    assert (seen.run_id, seen.profile, seen.cursor) == (run["id"], "scripted", None)
    assert thinker.contexts[-1].cursor == (1, 200)
    before = Screenshot.objects.filter(run_id=run["id"], step=1, phase="before")
    assert thinker.contexts[1].picture in before.values_list("sha256", flat=True)


def test_T_186_an_agent_may_look_again_and_again_which_is_no_step(test_key: Api, play: Play) -> None:
    thinker = play(["look"], ["look"], [click(1)], [DONE])
    run = ended(test_key)
    assert (run["status"], run["steps_completed"], thinker.model.calls) == ("succeeded", 1, 4)
    assert Call.objects.filter(run_id=run["id"], step_index=1).count() == 3
    check_run(run["id"])


def test_who_has_nothing_to_do_and_nothing_to_remember_is_broken(
    test_key: Api, play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def idle(context: Context, session: Any) -> Move:
        return Move(Again(), context.memory, thought=True)

    monkeypatch.setattr(play([DONE]), "next", idle)
    assert ended(test_key)["error"]["code"] == "AGENT_ERROR"


# --- what people say to it


def test_T_186_a_rejection_is_of_exactly_that_action(test_key: Api, play: Play, acted: list[Any]) -> None:
    thinker = play([click(1), TEXT], [DONE])
    run = decide(test_key, waiting(test_key, **ASKING), "reject", note="not this")
    assert steps(run["id"]) == [(*click(1), True)]
    run = decide(test_key, run)
    assert (run["status"], steps(run["id"])) == ("succeeded", [(*click(1), True), (*TEXT, False)])
    assert acted == [TEXT]
    assert [(c.last.error if c.last else None) for c in thinker.contexts][2] == "not this"
    assert thinker.model.calls == 2
    check_run(run["id"])


def test_T_186_a_rejection_does_not_fall_on_what_was_thought_of_afterwards(
    test_key: Api, play: Play, acted: list[Any]
) -> None:
    """An agent that thinks again after a rejection wants something else: that is judged as it stands."""
    thinker = play([click(1)], [click(2)], [DONE])
    run = waiting(test_key, **ASKING)
    asked = request_of(test_key, run)["id"]
    thinker.model.story = [[click(2)], [DONE]]  # its memory now leads to another action
    run = decide(test_key, run, "reject")
    assert run["status"] == "awaiting_human"
    assert request_of(test_key, run)["id"] != asked
    run = decide(test_key, run)
    assert (run["status"], acted, steps(run["id"])) == ("succeeded", [click(2)], [(*click(2), False)])
    check_run(run["id"])


def test_T_186_an_edited_action_runs_as_it_was_written_and_the_agent_is_told(
    test_key: Api, play: Play, acted: list[Any]
) -> None:
    thinker = play([click(1), TEXT], [DONE])
    edit = {"name": "click", "params": {"x": 7, "y": 8}}
    run = decide(test_key, waiting(test_key, **ASKING), edited_action=edit)
    run = decide(test_key, run)
    assert acted[0][1]["x"] == 7
    results = [item for item in thinker.contexts[-1].memory["log"] if item["kind"] == "result"]
    assert results[0]["edited"]["params"]["x"] == 7
    assert (run["status"], thinker.model.calls) == ("succeeded", 2)
    check_run(run["id"])


def test_T_186_an_answer_reaches_the_agent_once(test_key: Api, play: Play) -> None:
    question = Ask("question", "Which?", [{"id": "q", "header": "W", "question": "Which?", "options": []}])
    thinker = play([click(1), question, KEY], [DONE])
    run = waiting(test_key)
    run = decide(test_key, run, "answer", answers={"q": "this one"})
    assert (run["status"], thinker.model.calls, run["steps_completed"]) == ("succeeded", 2, 2)
    told = [item["text"] for item in thinker.contexts[-1].memory["log"] if "this one" in str(item)]
    assert len(told) == 1
    check_run(run["id"])


def test_T_186_a_budget_that_is_lifted_in_the_middle_of_a_batch(live: Api, play: Play, acted: list[Any]) -> None:
    thinker = play([click(1), TEXT, KEY], [DONE])
    machine = simulated(live)
    run = waiting(
        live,
        agent="scripted",
        machine_id=machine,
        budget_cents=5,
        on_budget="ask",
        **ASKING | {"permission_mode": "autonomous"},
    )
    assert acted == [click(1)]
    run = decide(live, run, values={"add_cents": 100})
    assert (run["status"], acted, thinker.model.calls) == ("succeeded", [click(1), TEXT, KEY], 2)
    assert live.get("/billing/balance").json()["ledger_ok"]
    check_run(run["id"])


def test_T_186_a_plan_is_thought_of_once_for_each_revision(test_key: Api, play: Play, acted: list[Any]) -> None:
    thinker = play([click(1)], [DONE])
    run = waiting(test_key, human_in_the_loop=True, permission_mode="plan")
    assert (request_of(test_key, run)["plan"]["text"], thinker.model.calls) == ("plan 1", 2)
    run = decide(test_key, run, "revise", note="slower")
    assert request_of(test_key, run)["plan"]["text"] == "plan 2"
    assert (thinker.model.calls, acted) == (4, [])
    run = decide(test_key, run)
    assert (run["status"], thinker.model.calls, acted) == ("succeeded", 5, [click(1)])
    notes = [item for item in Run.objects.get(id=run["id"]).memory["log"] if item["kind"] == "note"]
    assert [note["verdict"] for note in notes] == ["revise"]
    assert Call.objects.filter(run_id=run["id"], purpose="plan").count() == 2
    check_run(run["id"])


def test_T_186_receipts_tell_when_a_thought_has_taken_in_what_people_said(test_key: Api, play: Play) -> None:
    play([Ask("approval", "May I?")], [click(1)], [DONE])
    run = waiting(test_key)
    approval = request_of(test_key, run)["id"]
    test_key.post(f"/approvals/{approval}/decide", {"verdict": "approve", "note": "yes"})
    drive_and_die("write_intent")
    decision = Decision.objects.get(approval_id=approval, counts=True)
    assert decision.delivered_at is not None
    assert Run.objects.get(id=run["id"]).inbox == []
    drive_all()
    assert status_of(run["id"]) == "succeeded"
    check_run(run["id"])


# --- workers that die


STORY: list[list[Want]] = [
    [click(1), TEXT, "look"], [KEY, Ask("approval", "Go on?"), click(2)], ["look"], [click(3)], [DONE],
]  # fmt: skip


def _answer_as_people_do(actor: Actor, run_id: str) -> None:
    """Always the same: the text is edited, the second click is denied, all else is allowed."""
    request = Approval.objects.get(run_id=run_id, status="pending")
    action = request.action or {"name": "", "params": {}}
    answer = Answer("approve")
    if action["name"] == "type_text":
        answer = Answer("approve", edited_action={"name": "type_text", "params": {"text": "bye"}})
    elif action["params"].get("x") == 2:
        answer = Answer("reject", note="not there")
    settle(actor, request, answer)


def _played(cast: Cast, api: Api, host: Falling, machine: str) -> str:
    run_id = begin(api, machine_id=machine, agent="scripted", **ASKING)["id"]
    while status_of(run_id) in ("queued", "running", "awaiting_human"):
        drive_and_fall(host)
        check_run(run_id)
        if status_of(run_id) == "awaiting_human":
            _answer_as_people_do(cast.actor(), run_id)
    return str(run_id)


def test_T_186_killed_after_every_commit_the_same_is_done_and_nothing_is_paid_twice(
    cast: Cast, live: Api, play: Play, acted: list[Any]
) -> None:
    machine = simulated(live)
    calls = play(*STORY).model
    usual = steps(_played(cast, live, Falling(-1), machine))
    executed, most = list(acted), calls.calls
    assert (len(usual), len(executed), most) == (5, 4, 5)
    for nth in range(1, 100):
        acted.clear()
        thinker, host = play(*STORY), Falling(nth)
        run_id = _played(cast, live, host, machine)
        if host.left > 0:
            break
        run = Run.objects.get(id=run_id)
        assert (run.status, steps(run_id), acted) == ("succeeded", usual, executed), nth
        unknown = Step.objects.filter(run_id=run_id, status="interrupted", skipped=False).count()
        assert thinker.model.calls == most + unknown, nth
        assert Call.objects.filter(run_id=run_id, purpose="act").count() == most + unknown
        assert len(texts(run_id)) == thinker.model.calls
    assert nth > 30
    balance = live.get("/billing/balance").json()
    assert (balance["ledger_ok"], balance["held_cents"]) == (True, 0)


def test_T_186_an_unknown_outcome_is_not_forgotten_by_the_next_crash(
    test_key: Api, play: Play, acted: list[Any]
) -> None:
    """Before the agent has read of it, another worker dies: the action is not repeated blindly."""
    thinker = play([click(1)], [DONE])
    run_id = begin(test_key)["id"]
    drive_and_die("write_outcome")
    drive_and_die("thought")
    thinker.contexts.clear()
    drive_all()
    assert thinker.contexts[0].interrupted
    assert [c.interrupted for c in thinker.contexts[1:]] == [False] * (len(thinker.contexts) - 1)
    assert status_of(run_id) == "succeeded"
    check_run(run_id)


def test_T_186_of_a_denied_action_the_outcome_is_known_when_the_worker_dies(
    test_key: Api, play: Play, acted: list[Any]
) -> None:
    thinker = play([click(1)], [DONE])
    run = waiting(test_key, **ASKING)
    test_key.post(f"/runs/{run['id']}/resume", {"approved": False, "note": "no"})
    drive_and_die("write_outcome")
    drive_all()
    assert (steps(run["id"]), acted, thinker.model.calls) == ([(*click(1), True)], [], 2)
    assert not any(context.interrupted for context in thinker.contexts)
    check_run(run["id"])


def test_T_186_a_thought_may_be_written_twice(test_key: Api, play: Play) -> None:
    """The connection broke after the commit: the loop writes again, and nothing is doubled."""

    class Stutter(Inline):
        async def db(self, work: Callable[..., Any], *args: Any) -> Any:
            result = await super().db(work, *args)
            if work.__name__ == "thought":
                job = args[0]
                job.inbox, job.readable = before
                return await super().db(work, *args)
            return result

    before: tuple[list[Any], list[Any]] = ([], [])
    thinker = play([click(1)], [DONE])
    run_id = begin(test_key)["id"]
    ((_, epoch),) = leases.claim(Inline.name, 1)
    go(Once(Stutter(), run_id, epoch))
    assert (status_of(run_id), texts(run_id)) == ("succeeded", ["thought: 0", "thought: 1"])
    assert thinker.model.calls == Call.objects.filter(run_id=run_id).count() == 2
    check_run(run_id)


def test_a_worker_that_lost_its_run_writes_of_a_thought_only_what_it_cost(test_key: Api, play: Play) -> None:
    thinker = play([click(1)], [DONE])
    run_id = begin(test_key)["id"]

    def another_worker() -> None:
        thinker.model.before = None
        Run.objects.filter(id=run_id).update(lease_epoch=99)

    thinker.model.before = _inline(another_worker)
    ((_, epoch),) = leases.claim(Inline.name, 1)
    assert go(Once(Inline(), run_id, epoch))
    run = Run.objects.get(id=run_id)
    assert (run.memory, texts(run_id)) == ({}, [])
    assert Call.objects.filter(run_id=run_id).count() == 1


def _inline(work: Callable[[], Any]) -> Callable[[], Any]:
    """Database work from within an agent's coroutine, in the test's own thread."""
    return lambda: Inline().db(work)


# --- control of the machine


@pytest.mark.parametrize("private", [False, True])
def test_T_186_who_takes_control_while_the_model_thinks_is_heard_before_anything_is_done(
    live: Api, play: Play, acted: list[Any], private: bool
) -> None:
    """Taken and given back within one thought: what it wanted was thought of another screen."""
    thinker, machine = play([click(1)], [DONE]), simulated(live)

    def hands() -> None:
        thinker.model.before = None
        thinker.model.story = [[click(2)], [DONE]]
        release(live, take(live, machine, private=private), note="done by hand")

    thinker.model.before = _inline(hands)
    run_id = begin(live, machine_id=machine, agent="scripted")["id"]
    drive_all()
    assert (status_of(run_id), acted) == ("succeeded", [click(2)])
    assert thinker.model.calls == Call.objects.filter(run_id=run_id).count() == 3
    notes = [item for item in Run.objects.get(id=run_id).memory["log"] if item["kind"] == "note"]
    assert [note["of"] for note in notes] == ["takeover"]
    check_run(run_id)


def test_T_186_a_thought_is_kept_while_a_person_has_the_machine(live: Api, play: Play, acted: list[Any]) -> None:
    thinker, machine = play([click(1)], [DONE]), simulated(live)
    begin(live, machine_id=machine, agent="scripted")
    leased: list[dict[str, Any]] = []
    run_id = drive_with("thought", lambda: leased.append(take(live, machine)))
    assert (status_of(run_id), acted) == ("awaiting_human", [])
    assert Run.objects.get(id=run_id).memory["now"]["at"] == 0
    release(live, leased[0], note="carry on")
    drive_all()
    assert (status_of(run_id), acted, thinker.model.calls) == ("succeeded", [click(1)], 3)
    check_run(run_id)


# --- the end


def test_T_186_the_verifier_is_written_down_with_the_end(test_key: Api, play: Play) -> None:
    thinker = play([click(1)], [DONE])
    run_id = begin(test_key, cua_version="v4")["id"]
    drive_and_die("end")
    assert not Call.objects.filter(run_id=run_id, purpose="verify").exists()
    thinker.verdicts = [
        Verdict(True, "pass", "So it is.", ("the list has one line more",), (record(purpose="verify"),))
    ]
    drive_all()
    run = show(test_key, run_id)
    assert (run["status"], run["result"]["verdict"]) == ("succeeded", "pass")
    said = [data["text"] for data in data_of(run_id, "reasoning")]
    assert said == ["why 0", "why 1", "the list has one line more"]
    assert thinker.model.calls == Call.objects.filter(run_id=run_id, purpose="act").count() == 2
    assert Call.objects.filter(run_id=run_id, purpose="verify").count() == 1
    check_run(run_id)


@pytest.mark.parametrize("guard", ["budget_tokens", "depth"])
def test_T_186_what_the_profile_allows_one_run_ends_it(test_key: Api, play: Play, guard: str) -> None:
    thinker = play([click(1)], [DONE])
    thinker.model.faults = [GuardReached(guard, 1000, 1200)]
    run = ended(test_key)
    assert (run["status"], run["error"]["code"], run["error"]["reason_code"]) == ("failed", "GUARD_EXCEEDED", guard)
    assert run["error"]["details"] == {"guard": guard, "scope": "run", "limit": 1000, "used": 1200}
    check_run(run["id"])


def test_an_agent_that_thinks_may_read_the_database(test_key: Api, play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    thinker = play([click(1)], [DONE])
    read: list[int] = []
    following = thinker.next

    async def reads(context: Context, session: Any) -> Any:
        assert context.db is not None
        read.append(await context.db(Run.objects.filter(id=context.run_id).count))
        return await following(context, session)

    monkeypatch.setattr(thinker, "next", reads)
    assert ended(test_key)["status"] == "succeeded"
    assert read == [1, 1]
    assert len(log(Run.objects.get().id)) > 0
    assert isinstance(thinker._move(0), Act)


def test_T_186_an_approval_that_the_agent_passes_over_is_not_called_executed(
    test_key: Api, play: Play, acted: list[Any]
) -> None:
    thinker = play([click(1)], [DONE])
    run = waiting(test_key, **ASKING)
    asked = request_of(test_key, run)["id"]
    thinker.model.story = [[Ask("approval", "Rather this?")], [DONE]]
    run = decide(test_key, run)
    assert request_of(test_key, run)["kind"] == "approval"
    receipt = test_key.get(f"/approvals/{asked}").json()["decision"]["receipt"]
    assert (receipt["outcome"], receipt["execution_started_at"], acted) == ("not_executed", None, [])
    assert receipt["delivered_at"] is not None


def test_T_186_nothing_of_a_private_takeover_reaches_who_thinks(live: Api, play: Play, acted: list[Any]) -> None:
    """It looks while a person works in private: what it would have seen is dropped, and so is what it wanted."""
    thinker, machine = play([click(1)], [DONE]), simulated(live)
    leased: list[dict[str, Any]] = []
    following = thinker.next

    async def looks(context: Context, session: Any) -> Move:
        if not leased:
            await Inline().db(lambda: leased.append(take(live, machine, private=True)))
            await session.screenshot()
            raise AssertionError("It saw the screen of a private takeover.")
        return await following(context, session)

    thinker.next = looks  # type: ignore[method-assign]
    run_id = begin(live, machine_id=machine, agent="scripted")["id"]
    drive_all()
    assert (status_of(run_id), thinker.contexts, acted) == ("awaiting_human", [], [])
    release(live, leased[0])
    drive_all()
    assert (status_of(run_id), acted) == ("succeeded", [click(1)])
    assert [m.kind for m in thinker.contexts[0].messages] == ["takeover"]
    check_run(run_id)
