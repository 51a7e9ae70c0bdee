"""A machine for agents to look at: what it shows is set by the test; a small loop carries decisions out on it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from machines.drivers.base import Action, ActResult, Element, Frame, MachineState, Prompt, Reach, Target, TerminalResult
from runs.agents.base import Act, Agent, Ask, Context, Decision, Finish, Message
from runs.agents.playbook import PlaybookAgent
from runs.agents.playbook.scene import Patience

HASTY = Patience(poll=0.001, target=0.01, command=0.02)


@dataclass
class FakeSession:
    """Everything an agent can see; `react` may change it when an action arrives."""

    shown: list[Element] = field(default_factory=list)
    page: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    now: MachineState = field(default_factory=MachineState)
    react: Callable[["FakeSession", Action], ActResult | None] = lambda session, action: None
    under: Callable[[Action], Target | None] = lambda action: None
    reached: Callable[[str], Reach | None] = lambda ref: None
    done: list[Action] = field(default_factory=list)
    looks: int = 0

    async def begin(self) -> None:
        return None

    async def screenshot(self) -> Frame:
        return Frame(b"", 1280, 720)

    async def act(self, action: Action) -> ActResult:
        self.done.append(action)
        return self.react(self, action) or ActResult(True)

    async def elements(self) -> list[Element]:
        self.looks += 1
        return self.shown

    async def reach(self, ref: str) -> Reach | None:
        return self.reached(ref)

    async def target(self, action: Action) -> Target | None:
        return self.under(action)

    async def contents(self, action: Action) -> None:
        return None

    async def prompt(self) -> Prompt | None:
        return None

    async def text(self) -> str:
        return self.page

    async def state(self) -> MachineState:
        return self.now

    async def read_file(self, path: str, limit: int = 1_048_576) -> bytes | None:
        return self.files.get(path)

    async def terminal(self, command: str, timeout_ms: int, cwd: str | None = None) -> TerminalResult:
        raise NotImplementedError

    async def close(self) -> None:
        return None


def context(task: str, **changes: Any) -> Context:
    plain = Context(task, {}, "v3", True, 1, {}, "browser", 1280, 720)
    return replace(plain, **changes)


def answered(value: str, key: str = "target", *, custom: bool = False) -> Message:
    payload = {"answers": {key: {"value": value, "custom": custom}}}
    return Message("question", "answer", payload, payload)


def element(role: str, name: str, x: int = 100, y: int = 100, **changes: Any) -> Element:
    return Element(role, name, x, y, **{"width": 80, "height": 20, **changes})


class Player:
    """Drives one run as the drive loop would: memory is replaced when a move is complete."""

    def __init__(self, task: str, session: Any = None, agent: Agent | None = None, **changes: Any) -> None:
        self.session = session or FakeSession()
        self.agent = agent or PlaybookAgent(HASTY)
        self.context = context(task, **changes)
        self.said: list[str] = []

    async def next(self, *messages: Message, **changes: Any) -> Decision:
        """One decision; nothing is done yet."""
        now = replace(self.context, messages=messages, **changes)
        decision = await self.agent.next(now, self.session)
        self.said.append(decision.text)
        return decision

    async def play(self, *messages: Message, **changes: Any) -> Ask | Finish:
        """Decide and act until the agent asks or ends."""
        while True:
            decision = await self.next(*messages, **changes)
            messages, changes = (), {}
            self.context = replace(self.context, memory=decision.memory)
            if not isinstance(decision.move, Act):
                return decision.move
            result = await self.session.act(decision.move.action)
            self.context = replace(self.context, step_index=self.context.step_index + 1, last=result)

    @property
    def actions(self) -> list[tuple[str, dict[str, Any]]]:
        return [(a.name, a.params) for a in self.session.done]
