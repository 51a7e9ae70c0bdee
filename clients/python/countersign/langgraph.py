"""LangGraph: people answer the interrupts of a graph, of one's own nodes and of LangChain's HumanInTheLoopMiddleware.

The graph needs a checkpointer; a persistent one, where the wait shall survive the program. A node runs again from its top after
an interrupt: what it does before that happens twice.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from langgraph.types import Command, interrupt

from countersign import plans
from countersign.client import AsyncClient, Client
from countersign.plans import About, Fields
from countersign.verdict import Verdict

Body = dict[str, Any]


def run(
    graph: Any, value: Any, config: Mapping[str, Any], client: Client | None = None, **fields: Unpack[Fields]
) -> Any:
    """graph.invoke() until no interrupt is left; each is one request, all open at once. The outcome is that of invoke().

    After a restart of the program: run(graph, None, config) goes on with the same requests. Raises NotApproved where nobody
    answers an interrupt that is a plain question.
    """
    client = client or Client()
    output = graph.invoke(value, config)
    while asked := _asked(output, config, fields):
        open_ones = [(one, [client.open(body) for body in one.bodies]) for one in asked]
        answers = {one.id: one.answer([client.decided(row) for row in rows]) for one, rows in open_ones}
        output = graph.invoke(Command(resume=answers), config)
    return output


async def arun(
    graph: Any, value: Any, config: Mapping[str, Any], client: AsyncClient | None = None, **fields: Unpack[Fields]
) -> Any:
    """As run(), with graph.ainvoke()."""
    client = client or AsyncClient()
    output = await graph.ainvoke(value, config)
    while asked := _asked(output, config, fields):
        open_ones = [(one, [await client.open(body) for body in one.bodies]) for one in asked]
        answers = {one.id: one.answer([await client.decided(row) for row in rows]) for one, rows in open_ones}
        output = await graph.ainvoke(Command(resume=answers), config)
    return output


def approval(name: str, params: Mapping[str, Any], **words: Any) -> dict[str, Any]:
    """Within a node: {approved, status, note, params, edited} of this action. `words`: title, message, host, risk, url."""
    answer: dict[str, Any] = interrupt({"action": {"name": name, "params": dict(params)}, **words})
    return answer


@dataclass(frozen=True)
class _Interrupt:
    """`bodies`: the requests that it becomes, in order."""

    id: str
    value: Any
    bodies: Sequence[Body]

    def answer(self, verdicts: Sequence[Verdict]) -> Any:
        """What the graph is resumed with: in the form that the interrupt asks for."""
        if _is_middleware(self.value):
            allowed = [set(config["allowed_decisions"]) for config in self.value["review_configs"]]
            return {"decisions": [_decision(*pair) for pair in zip(verdicts, allowed, strict=True)]}
        (verdict,) = verdicts
        if isinstance(self.value, Mapping) and "action" in self.value:
            return {
                "approved": bool(verdict),
                "status": verdict.status,
                "note": verdict.note,
                "params": verdict.params,
                "edited": verdict.is_edited,
            }
        return verdict.or_raise().answer


def _asked(output: Any, config: Mapping[str, Any], fields: Fields) -> list[_Interrupt]:
    waiting = output.get("__interrupt__", ()) if isinstance(output, Mapping) else ()
    thread = str(config["configurable"]["thread_id"]) if waiting else ""
    return [_Interrupt(each.id, each.value, _bodies(f"{thread}:{each.id}", each.value, fields)) for each in waiting]


def _bodies(name: str, value: Any, fields: Fields) -> list[Body]:
    """`name` differs for each interrupt, also in a loop, and is the same after a restart."""
    if _is_middleware(value):
        return [
            plans.action_body(
                action["name"], action["args"], None, About(), _fields(f"{name}:{n}", action.get("description"), fields)
            )
            for n, action in enumerate(value["action_requests"])
        ]
    if not isinstance(value, Mapping) or not ("action" in value or "question" in value):
        text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
        return [plans.question_body(text, (), _fields(name, None, fields))]
    described = _fields(name, value.get("message"), fields)
    if "question" in value:
        return [plans.question_body(value["question"], value.get("options", ()), described)]
    about = About(**{key: value[key] for key in About.__annotations__ if key in value})  # type: ignore[typeddict-item]
    action = value["action"]
    return [plans.action_body(action["name"], action["params"], value.get("title"), about, described)]


def _fields(name: str, message: str | None, fields: Fields) -> Fields:
    named = Fields(**fields, external_id=plans.short_name(name))
    if message:
        named["message"] = message
    return named


def _is_middleware(value: Any) -> bool:
    return isinstance(value, Mapping) and "action_requests" in value and "review_configs" in value


def _decision(verdict: Verdict, allowed: set[str]) -> dict[str, Any]:
    """As LangChain's middleware takes it. An edit that it does not allow is a rejection: the original was not approved."""
    if not verdict:
        return {"type": "reject", "message": verdict.note or f"Not approved: {verdict.status}."}
    if not verdict.is_edited:
        return {"type": "approve"}
    if "edit" not in allowed:
        return {"type": "reject", "message": f"Approved only with {json.dumps(verdict.params)}."}
    return {"type": "edit", "edited_action": {"name": verdict.approval["action"]["name"], "args": verdict.params}}
