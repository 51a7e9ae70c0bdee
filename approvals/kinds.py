"""The kinds of requests and of verdicts, a row each. What differs between kinds stands here; nothing else asks for the kind."""

from dataclasses import dataclass
from typing import Literal

from django.db import models


class Kind(models.TextChoices):
    APPROVAL = "approval"
    TOOL = "tool"
    PLAN = "plan"
    QUESTION = "question"
    INPUT = "input"
    TAKEOVER = "takeover"
    BUDGET = "budget"


@dataclass(frozen=True)
class Traits:
    """What holds for every request of a kind."""

    verdicts: tuple[str, ...]  # that it takes, first the one that lets the run go on
    reason_code: str  # why the run waits
    on_reject: str  # what a rejection does, unless the request says otherwise
    icon: str
    asks: str = ""  # what an agent or workflow does that opens one, in a title after its name
    approve_word: str = "Approve"
    reject_word: str = "Reject"
    approved_word: str = "Approved"
    form: Literal["", "edits", "questions", "values"] = ""  # what the card asks for beside the verdict
    by_answer: bool = False  # /answer and submit_input decide it, not /approve
    is_named_by_title: bool = False  # the title says all of what is asked
    has_own_message: bool = False  # its message is the server's own words, not those of who asks
    runs_action: bool = False  # its action follows an approval; its message says why that needs one
    lifts_budget: bool = False  # an approval says by how much
    hands_over: bool = False  # a person takes control of the machine, and decides by giving it back
    tool_name: str = "human_approval"  # in the permissions list

    @property
    def verdict(self) -> str:
        """The one that lets the run go on."""
        return self.verdicts[0]

    @property
    def takes_data(self) -> bool:
        """Nobody can say yes to it without saying more; so no words are added, and none is decided along with others."""
        return self.verdict != "approve"

    @property
    def takes_revision(self) -> bool:
        """A rejection sends it back, unless it is to end the run."""
        return "revise" in self.verdicts

    @property
    def input_kind(self) -> str:
        return "input" if self.takes_data else "approval"

    @property
    def signals(self) -> list[str]:
        """Data never counts as consent: submit_input cannot approve an action, approve cannot invent data."""
        fits = {"approve": "approve" in self.verdicts, "reject": True, "submit_input": self.by_answer}
        return [signal for signal in SIGNALS if fits[signal]]


SIGNALS = ("approve", "reject", "submit_input")
KINDS: dict[str, Traits] = {
    "approval": Traits(
        ("approve", "reject"), "AWAITING_APPROVAL", "fail_run", "circle-check", asks="asks for approval",
    ),
    "tool": Traits(
        ("approve", "reject"), "AWAITING_APPROVAL", "skip_action", "mouse-pointer-click",
        form="edits", is_named_by_title=True, has_own_message=True, runs_action=True,
    ),
    "plan": Traits(
        ("approve", "revise", "reject"), "AWAITING_PLAN_APPROVAL", "revise", "list-checks", asks="proposes a plan",
        approve_word="Approve the plan", by_answer=True, has_own_message=True, tool_name="plan_approval",
    ),
    "question": Traits(
        ("answer", "reject"), "AWAITING_ANSWER", "continue", "message-circle-question-mark", asks="asks a question",
        approve_word="Send the answer", reject_word="Decline to answer",
        form="questions", by_answer=True, tool_name="ask_user_question",
    ),
    "input": Traits(
        ("submit", "reject"), "AWAITING_INPUT", "fail_run", "text-cursor-input", asks="asks for data",
        approve_word="Send", reject_word="Decline", form="values", by_answer=True, tool_name="ask_user_question",
    ),
    "takeover": Traits(
        ("approve", "reject"), "AWAITING_TAKEOVER", "fail_run", "hand", asks="asks a person to take over",
        approve_word="Hand control back", reject_word="Decline", approved_word="Handed back",
        hands_over=True, tool_name="request_takeover",
    ),
    "budget": Traits(
        ("approve", "reject"), "AWAITING_BUDGET", "fail_run", "coins", approve_word="Allow more money",
        is_named_by_title=True, has_own_message=True, lifts_budget=True,
    ),
}  # fmt: skip
BY_ANSWER = frozenset(kind for kind, traits in KINDS.items() if traits.by_answer)


@dataclass(frozen=True)
class Verdict:
    """`status`: what the request becomes. `fields`: what may be sent with it."""

    status: str
    noun: str
    fields: frozenset[str] = frozenset()

    @property
    def approves(self) -> bool:
        """It lets the run go on as was asked."""
        return self.status in ("approved", "answered")


VERDICTS: dict[str, Verdict] = {
    "approve": Verdict(
        "approved", "approval", frozenset({"values", "edited_action", "remember", "remember_when", "action_hash"})
    ),
    "reject": Verdict("rejected", "rejection", frozenset({"action_hash", "remember"})),
    "answer": Verdict("answered", "answer", frozenset({"answers"})),
    "submit": Verdict("answered", "answer", frozenset({"values"})),
    "revise": Verdict("revised", "revision"),
}


@dataclass(frozen=True)
class Speaker:
    """Who asks, in whose words. Nobody has checked them."""

    noun: str
    icon: str
    words: str
    asks: str
    starter: str  # what the person did who may not approve it


SPEAKERS: dict[str, Speaker] = {
    "agent": Speaker(
        "agent", "bot", "The agent’s own words", "What the agent asks, in its own words", "started the run",
    ),
    "workflow": Speaker("workflow", "workflow", "The workflow’s words", "What the workflow asks", "started the run"),
    "program": Speaker(
        "program", "webhook", "The program’s own words", "What the program asks, in its own words", "asks",
    ),
}  # fmt: skip
DECIDED = frozenset(verdict.status for verdict in VERDICTS.values())
