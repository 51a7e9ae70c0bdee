"""The agent over real wires: the vendors' SDKs speak to the emulator, which checks every rule that vendors have."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import pytest

from inference.calls import calling
from inference.errors import ModelBusy, ModelMisconfigured, ModelRefused
from inference.specs import Spec
from inference.wires import WIRES, wire_for
from runs.agents.base import Act, Again, Ask, Finish
from runs.agents.model import ModelAgent, conversation
from tests.agents.model.fakes import Run, Screen, Vendor, answered, approve, message, reject
from tests.emulator.server import MODULES, Emulator
from tests.emulator.story import Fault, Story, Turn

CHECK = {"id": "chk_1", "code": "malicious_instructions", "message": "The page may try to instruct you."}
TEN = Story(
    [
        Turn([("click", {"x": 100, "y": 50, "button": "left", "count": 1}), ("type_text", {"text": "mîlk"})],
             text="I open the shop.", thinking="The field is at the top."),
        Turn([("key_press", {"key": "enter"})], thinking="Now send it."),
        Turn([("screenshot", {})], thinking="I look."),
        Turn([("zoom", {"region": [0, 0, 200, 100]})]),
        Turn([("scroll", {"x": 10, "y": 10, "direction": "down", "amount": 3})], thinking="Further down."),
        Turn([("drag", {"from_x": 1, "from_y": 2, "to_x": 30, "to_y": 40})]),
        Turn([("ask_human", {"question": "Which one?", "kind": "question", "options": ["red", "blue"]})], thinking="I ask."),
        Turn([("click", {"x": 20, "y": 50, "button": "left", "count": 1}),
              ("click", {"x": 25, "y": 50, "button": "left", "count": 1})], text="This one."),
        Turn([("click", {"x": 30, "y": 50, "button": "left", "count": 1})], thinking="It was changed."),
        Turn([("click", {"x": 40, "y": 50, "button": "left", "count": 1})], checks=[CHECK]),
        Turn([("finish", {"passed": True, "summary": "Milk is bought."})], thinking="Done."),
    ],
    schema=[Turn(text='{"verdict": "pass", "reasons": ["Milk is there."], "evidence": ["milk"]}')],
)  # fmt: skip
CLOSER = 3  # the turn that looks closer, which Gemini cannot


def ten(wire: str) -> Story:
    turns = list(TEN.turns)
    if wire == "gemini":
        turns[CLOSER] = Turn([("screenshot", {})])
    return replace(TEN, turns=turns)


SDKS = {"anthropic": "anthropic", "openai": "openai", "compatible": "openai", "gemini": "google.genai"}


def needs(wire: str) -> None:
    """Skips the test where the wire, its SDK or its emulator is not there."""
    pytest.importorskip(SDKS[wire])
    for name in (WIRES[wire][0], f"tests.emulator.{MODULES[wire]}"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not there")


@pytest.fixture(params=list(WIRES))
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    needs(request.param)
    yield request.param
    await calling.close()


@dataclass
class Wired(Run):
    """A run whose model is asked over a real wire. `kills`: each move is decided on anew after each commit."""

    kills: bool = False

    def agent(self) -> ModelAgent:
        judge = replace(self.spec, name="judge")
        return ModelAgent(calling.think, lambda name: self.spec, lambda name: judge, wire_for)

    async def once(self, *messages: Any) -> Any:
        decision = await super().once(*messages)
        if self.kills and not decision.thought:
            again = await super().once()
            assert (again.move, again.memory) == (decision.move, decision.memory)
        return decision


def run_over(emulator: Emulator, wire: str, story: str = "ten", **more: Any) -> Wired:
    spec = Spec("fake", wire, "model-1", base_url=emulator.url(wire), key="sk-test-0123456789")  # type: ignore[arg-type]
    return Wired(Vendor(), f"Buy milk. story:{story}", Screen(page="milk"), spec, **more)


async def ten_moves(run: Wired) -> list[tuple[str, Any]]:
    """What was done, with one refused and one changed by a person, and a vendor's check that a person agreed to."""
    moves: list[tuple[str, Any]] = []
    while True:
        decision = await run.decide()
        move = decision.move
        if isinstance(move, Ask):
            run.asked(decision)
            decision = await run.decide(answered("red"))
            move = decision.move
        if isinstance(move, Finish):
            moves.append(("finish", move))
            return moves
        assert isinstance(move, Act)
        name, params = move.action.name, dict(move.action.params)
        moves.append((name, params))
        if name == "click" and params["x"] == 20:
            await run.do(await run.decide(reject("Not this one")), refused="Not this one")
        elif name == "click" and params["x"] == 30:
            edited = params | {"x": 33}
            await run.do(await run.decide(approve(edited_action={"name": name, "params": edited})), edited=edited)
        elif move.checks:
            await run.do(await run.decide(approve()))
        else:
            await run.do(decision)


async def test_ten_moves_over_each_wire_are_the_same_however_often_the_worker_dies(wire: str) -> None:
    async with Emulator({"ten": ten(wire)}, wires=(wire,)) as emulator:
        run = run_over(emulator, wire)
        moves = await ten_moves(run)
        plain = emulator.requests[wire]
        verdict = await run.verify(Finish(True, "Milk is bought."))
        killed = run_over(emulator, wire, kills=True)
        assert await ten_moves(killed) == moves
        assert emulator.refused == []
        assert emulator.requests[wire] == 2 * plain + 1
    assert verdict.passed
    assert [name for name, _ in moves] == [
        "click", "type_text", "key_press", "scroll", "drag", "click", "click", "click", "finish",
    ]  # fmt: skip
    assert run.points == [100, 33, 40]
    assert plain == len(TEN.turns) == len(run.calls)
    assert json.dumps(killed.state.log) == json.dumps(run.state.log)
    assert killed.memory == run.memory


async def test_what_is_sent_only_grows_at_its_end(wire: str) -> None:
    async with Emulator({"ten": ten(wire)}, wires=(wire,)) as emulator:
        await ten_moves(run_over(emulator, wire))
        bodies = [body.json for body in emulator.bodies]
    lists = [next(body[key] for key in ("messages", "input", "contents") if key in body) for body in bodies]
    texts = [json.dumps(_unmarked(items))[:-1] for items in lists]
    assert all(after.startswith(before) for before, after in pairwise(texts))


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmarked(each) for key, each in value.items() if key != "cache_control"}
    return [_unmarked(each) for each in value] if isinstance(value, list) else value


async def test_an_episode_ends_and_a_plan_is_made_without_breaking_a_rule(
    wire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the model thought stays bound to system and tools: the summary and the plan are asked for with the same ones."""
    # Where a plan in words is no call it is answered, with the screen.
    monkeypatch.setattr(conversation, "MOST_PICTURES", 4 if wire == "compatible" else 3)
    clicks = [
        Turn([("click", {"x": 10 + n, "y": 50, "button": "left", "count": 1})], thinking=f"Click {n}.")
        for n in range(4)
    ]
    turns = [
        Turn(text="1. Click", thinking="A plan."),
        *clicks[:3],
        Turn(text="Three clicks are done. story:long@5", thinking="In short."),
        clicks[3],
        Turn([("finish", {"passed": True, "summary": "Clicked."})]),
    ]
    async with Emulator({"long": Story(turns)}, wires=(wire,)) as emulator:
        run = run_over(emulator, wire, "long")
        plan = await run.plan()
        assert plan.text == "1. Click"
        end = await run.play(message("plan", "approve"))
        assert emulator.refused == []
    assert end == Finish(True, "Clicked.")
    assert run.points == [10, 11, 12, 13]
    assert run.state.episode == 2
    assert [call.purpose for call in run.calls] == ["act", "act", "act", "summary", "act", "act"]


@pytest.mark.parametrize("wire", ["openai", "gemini"], indirect=True)  # the others have no safety checks
async def test_a_refused_check_is_not_acknowledged_and_the_conversation_goes_on(wire: str) -> None:
    turns = [
        Turn([("click", {"x": 40, "y": 50, "button": "left", "count": 1})], checks=[CHECK]),
        Turn([("finish", {"passed": False, "summary": "A person said no."})]),
    ]
    async with Emulator({"no": Story(turns)}, wires=(wire,)) as emulator:
        run = run_over(emulator, wire, "no")
        shown = await run.decide()
        assert isinstance(shown.move, Act)
        assert shown.move.checks
        await run.do(await run.decide(reject("No")), refused="No")
        assert await run.play() == Finish(False, "A person said no.")
        assert emulator.refused == []
        sent = json.dumps([body.json for body in emulator.bodies])
    assert "acknowledged_safety_checks" not in sent
    assert "safety_acknowledgement" not in sent
    assert not run.points


CLICK = ("click", {"x": 40, "y": 50, "button": "left", "count": 1})
END = Turn([("finish", {"passed": True, "summary": "Clicked."})])


@pytest.mark.parametrize("stop", ["cut", "full"])
async def test_an_answer_that_ends_early_is_asked_for_again_and_nothing_of_it_runs(wire: str, stop: str) -> None:
    first = Turn([CLICK, CLICK], thinking="Click.", fault=Fault(stop=stop))
    async with Emulator({"early": Story([first, END])}, wires=(wire,)) as emulator:
        run = run_over(emulator, wire, "early")
        assert isinstance((await run.once()).move, Again)
        assert await run.play() == Finish(True, "Clicked.")
        assert len(emulator.refused) == (stop == "full" and wire != "anthropic")  # some say it by an error
    assert run.points == [40, 40]
    assert run.state.episode == (2 if stop == "full" else 1)


FAULTS = [
    (Fault(status=429, headers={"retry-after": "3600"}), ModelBusy),
    (Fault(status=529), ModelBusy),
    (Fault(cut=True), ModelBusy),
    (Fault(half=True), ModelBusy),
    (Fault(status=401), ModelMisconfigured),
    (Fault(stop="refusal"), ModelRefused),
]


@pytest.mark.parametrize(("fault", "problem"), FAULTS)
async def test_after_a_bad_day_the_same_question_is_asked_and_nothing_is_done_twice(
    wire: str, fault: Fault, problem: type[Exception]
) -> None:
    turns = [Turn([CLICK], thinking="Click."), Turn([CLICK], thinking="Again.", fault=fault), END]
    async with Emulator({"bad": Story(turns)}, wires=(wire,)) as emulator:
        run = run_over(emulator, wire, "bad")
        await run.do(await run.decide())
        memory = json.dumps(run.memory)
        with pytest.raises(problem):
            await run.decide()
        assert json.dumps(run.memory) == memory
        assert await run.play() == Finish(True, "Clicked.")
        asked = [json.dumps(body.json) for body in emulator.bodies]
    assert asked[1] == asked[2]
    assert run.points == [40, 40]
    assert len(run.calls) == 3
