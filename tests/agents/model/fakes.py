"""A vendor that answers from a list, a wire of the plainest form, a screen that changes, and a drive loop that keeps what it must.

The vendor checks what the real ones check: a log only grows at its end, and every call is answered once, in order.
"""

import io
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from PIL import Image, ImageDraw

from inference.records import CallRecord, Purpose, Usage
from inference.specs import Spec
from inference.wires.base import Answer, Check, Json, Request, Thought, View, Wanted
from machines import pictures
from machines.drivers.base import Action, ActResult, Frame
from runs.agents.base import Act, Again, Ask, Context, Decision, Finish, Message, Plan, Verdict
from runs.agents.model import ModelAgent
from runs.agents.model.agent_memory import State
from tests.agents.machines import FakeSession
from web.json_values import unstorable_at

SPEC = Spec("fake", "compatible", "fake-1")
WIDTH, HEIGHT = 640, 400


# --- what a model answers


def act(
    name: str, call: str = "", *, last: bool = True, checks: Sequence[Check] = (), why: str = "", **params: Any
) -> Wanted:
    return Wanted(call or f"c-{name}", "act", name, params, last, checks=tuple(checks), text=why)


def click(x: int, y: int = 50, call: str = "", **more: Any) -> Wanted:
    return act("click", call or f"c{x}", x=x, y=y, **more)


def look(name: str = "screenshot", call: str = "look", **params: Any) -> Wanted:
    return Wanted(call, "look", name, params)


def tool(name: str, call: str = "", **params: Any) -> Wanted:
    return Wanted(call or f"t-{name}", "tool", name, params)


def finish(passed: bool = True, summary: str = "All done.", **more: Any) -> Wanted:
    return tool("finish", passed=passed, summary=summary, **more)


def bad(problem: str, call: str = "bad") -> Wanted:
    return Wanted(call, "bad", problem=problem)


Turn = Sequence[Wanted] | str | Thought | Exception | Callable[[Request], str]


class Vendor:
    """Answers in turn, and remembers what it was asked. `numbers`: each call gets an id of its own."""

    def __init__(self, *turns: Turn) -> None:
        self.turns = list(turns)
        self.requests: list[Request] = []
        self.purposes: list[Purpose] = []
        self.answered = 0

    async def think(self, spec: Spec, request: Request, purpose: Purpose) -> tuple[Thought, CallRecord]:
        json.dumps(list(request.log))
        answered_in_order(request.log)
        for sha in shas(request.log):
            request.picture(sha)
        self.requests.append(replace(request, log=json.loads(json.dumps(list(request.log)))))
        self.purposes.append(purpose)
        turn = self.turns.pop(0)
        if isinstance(turn, Exception):
            raise turn
        self.answered += 1
        turn = turn(request) if callable(turn) else turn
        thought = turn if isinstance(turn, Thought) else thought_of(turn, self.answered)
        now = datetime.now(UTC)
        return thought, CallRecord(spec.name, spec.wire, spec.model, purpose, "ok", now, now, usage=thought.usage)

    @property
    def log(self) -> list[Json]:
        return list(self.requests[-1].log)

    @property
    def results(self) -> list[Json]:
        """The results that the newest request ends with."""
        items = [item for item in self.log if "results" in item]
        return list(items[-1]["results"]) if items else []

    @property
    def notes(self) -> str:
        return "\n".join(item["note"] for item in self.log if "note" in item)


def thought_of(turn: Sequence[Wanted] | str, number: int, **more: Any) -> Thought:
    if isinstance(turn, str):
        return Thought(({"said": turn, "n": number},), "said", text=turn, **more)
    wanted = tuple(replace(each, call=f"{each.call}#{number}") for each in turn)
    calls = list(dict.fromkeys(each.call for each in wanted))
    usage = Usage(input=100, output=10)
    return Thought(({"calls": calls, "n": number, "signature": "é≠\u2028"},), "calls", wanted, usage=usage, **more)


def shas(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$img"]] if "$img" in value else []
        return own + list(itertools.chain.from_iterable(shas(each) for each in value.values()))
    return list(itertools.chain.from_iterable(map(shas, value))) if isinstance(value, list) else []


def answered_in_order(log: Sequence[Json]) -> None:
    """Each answer's calls are answered by the item that follows it, all of them and in their order."""
    for item, after in itertools.pairwise([*log, {}]):
        if "calls" in item and after:
            calls = [result["call"] for result in after.get("results", ())]
            assert list(dict.fromkeys(calls)) == item["calls"], (item, after)
        if "results" in item:
            assert len(log) > 1


class PlainWire:
    """The plainest form of a wire."""

    grid: int | None = None

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def view(self, width: int, height: int) -> View:
        side = self.spec.options.get("max_side", 10_000)
        scale = min(1.0, side / max(width, height))
        return View(width, height, round(width * scale), round(height * scale))

    def opening(self, text: str, picture: str | None) -> list[Json]:
        return [{"opening": text, **_picture(picture)}]

    def note(self, text: str, picture: str | None = None) -> list[Json]:
        return [{"note": text, **_picture(picture)}]

    def results(self, answers: Sequence[Answer], picture: str | None) -> list[Json]:
        rows = [
            {"call": a.wanted.call, "ok": a.ok, "text": a.text, "acknowledged": a.acknowledged, **_picture(a.picture)}
            for a in answers
        ]
        return [{"results": rows, **_picture(picture)}]

    def body(self, request: Request) -> Json:
        raise NotImplementedError

    async def send(self, body: Json, request: Request, on_first_byte: Callable[[], None]) -> Thought:
        raise NotImplementedError

    async def close(self) -> None:
        return None


def _picture(sha: str | None) -> Json:
    return {"picture": {"$img": sha}} if sha else {}


# --- a machine


def screen(shown: str, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Another text is a little of the screen; `much:…` is most of it."""
    image = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(image)
    if shown.startswith("much"):
        shade = 20 + sum(map(ord, shown)) % 100
        pen.rectangle((0, 0, width, height * 2 // 3), fill=(shade, 0, 0))
    pen.rectangle((0, 0, 30 + 8 * len(shown), 60), fill="black")
    pen.text((10, 20), shown, fill="white")
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@dataclass
class Screen(FakeSession):
    """What it shows is a word; `after` says what an action makes of it (by default its number)."""

    shows: str = "0"
    after: Callable[["Screen", Action], str | None] = lambda screen, action: f"after {len(screen.done)}"
    pictures_taken: int = 0

    async def screenshot(self) -> Frame:
        self.pictures_taken += 1
        return Frame(screen(self.shows), WIDTH, HEIGHT)

    async def act(self, action: Action) -> ActResult:
        result = await super().act(action)
        self.shows = self.after(self, action) or self.shows
        return result


# --- a run


@dataclass
class Run:
    """What the drive loop does with an agent that thinks, without its database. Memory goes through JSON at each commit."""

    vendor: Vendor
    task: str = "Buy milk"
    session: Screen = field(default_factory=Screen)
    spec: Spec = SPEC
    changes: dict[str, Any] = field(default_factory=dict)
    judge: Vendor | None = None

    def __post_init__(self) -> None:
        self.memory: Json = {}
        self.step = 1
        self.last: ActResult | None = None
        self.inbox: list[Message] = []
        self.interrupted = self.restarted = False
        self.calls: list[CallRecord] = []
        self.said: list[str] = []
        self.frame: Frame | None = None
        self.commits = 0

    def agent(self) -> ModelAgent:
        """A new one each time: any worker may go on."""
        return ModelAgent(self._think, lambda name: self.spec, lambda name: replace(self.spec, name="judge"), PlainWire)

    async def _think(self, spec: Spec, request: Request, purpose: Purpose) -> tuple[Thought, CallRecord]:
        vendor = self.judge if purpose == "verify" and self.judge else self.vendor
        return await vendor.think(spec, request, purpose)

    async def context(self) -> Context:
        self.frame = self.frame or await self.session.screenshot()
        plain = Context(
            self.task, {}, "v4", True, self.step, self.memory, "browser", WIDTH, HEIGHT, self.last, tuple(self.inbox),
            interrupted=self.interrupted, restarted=self.restarted, run_id="run_1", profile="fake", frame=self.frame,
            picture=pictures.store(self.frame.png),
        )  # fmt: skip
        return replace(plain, **self.changes)

    async def once(self, *messages: Message) -> Decision:
        """One next(), and its thought committed."""
        self.inbox += messages
        decision = await self.agent().next(await self.context(), self.session)
        assert decision.thought == bool(decision.calls)
        if decision.thought:
            self._keep(decision.memory)
            self.inbox = [m for m in self.inbox if m.kind == "tool"]
            self.interrupted = self.restarted = False
            self.calls += decision.calls
            self.said.append(decision.text)
        return decision

    async def decide(self, *messages: Message) -> Decision:
        """Until there is a move."""
        while True:
            decision = await self.once(*messages)
            messages = ()
            if not isinstance(decision.move, Again):
                return decision
            assert decision.thought
            self.frame = None

    def _keep(self, memory: Json) -> None:
        """As PostgreSQL does: keys are sorted, and some characters are not taken."""
        assert unstorable_at(memory) is None
        self.memory = json.loads(json.dumps(memory, sort_keys=True))
        self.commits += 1

    async def do(self, decision: Decision, edited: Json | None = None, refused: str | None = None) -> None:
        """Intent, action, outcome."""
        move = decision.move
        assert isinstance(move, Act)
        if refused is None:
            action = replace(move.action, params=edited) if edited else move.action
            self.last = await self.session.act(action)
        else:
            self.last = ActResult(False, refused)
        self._keep(decision.memory)
        self.step, self.inbox, self.frame, self.interrupted, self.restarted = self.step + 1, [], None, False, False

    async def die(self, decision: Decision, *, done: bool) -> None:
        """The worker dies after the intent: what the decision remembers was not committed."""
        assert isinstance(decision.move, Act)
        if done:
            await self.session.act(decision.move.action)
        self.frame, self.interrupted = None, True

    def asked(self, decision: Decision) -> Ask:
        """The question is put: that is committed, and the inbox was read with it."""
        assert isinstance(decision.move, Ask), decision.move
        self._keep(decision.memory)
        self.inbox, self.frame = [], None
        return decision.move

    async def play(self, *messages: Message) -> Ask | Finish:
        """Decide and act until the agent asks or ends."""
        while True:
            decision = await self.decide(*messages)
            messages = ()
            if isinstance(decision.move, Ask):
                return self.asked(decision)
            if not isinstance(decision.move, Act):
                assert isinstance(decision.move, Finish)
                return decision.move
            await self.do(decision)

    async def plan(self, *messages: Message) -> Plan:
        self.inbox += messages
        plan = await self.agent().plan(await self.context(), self.session)
        self._keep(plan.memory)
        self.inbox, self.frame = [], None
        return plan

    async def verify(self, claim: Finish) -> Verdict:
        return await self.agent().verify(await self.context(), self.session, claim)

    @property
    def state(self) -> State:
        return State.of(self.memory)

    @property
    def actions(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [(a.name, a.params) for a in self.session.done]

    @property
    def points(self) -> list[int]:
        """The x of each click: enough to tell them apart."""
        return [a.params["x"] for a in self.session.done if a.name == "click"]


def approve(**payload: Any) -> Message:
    return Message("tool", "approve", payload, payload)


def reject(reason: str = "") -> Message:
    payload = {"reason": reason} if reason else {}
    return Message("tool", "reject", payload, payload)


def message(kind: str, verdict: str, **payload: Any) -> Message:
    return Message(kind, verdict, payload, payload)


def answered(text: str) -> Message:
    return message("question", "answer", answers={"answer": {"value": text, "custom": True}})
