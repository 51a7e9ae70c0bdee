"""OpenAI Agents SDK: people answer the interruptions of a run, of tools with needs_approval=True.

Never use always_approve beside it: rules that approve by themselves live with Countersign, where people see them.
"""

import asyncio
import json
from typing import Any, Unpack

from agents import Runner, RunState

from countersign import plans
from countersign.client import AsyncClient
from countersign.plans import About, Fields
from countersign.verdict import Verdict

Calls = set[tuple[str, str]]  # names and arguments that people have approved by an edit, and that were not called yet


async def run(
    agent: Any, value: Any, run_id: str, client: AsyncClient | None = None, asking: Fields | None = None, **options: Any
) -> Any:
    """Runner.run() until no interruption is left; all that a turn asks are open at once.

    `run_id`: your name for this run. With the state of a run that was parked as `value` the same requests are gone on with.
    `asking`: what people see beside each action. `options`: of Runner.run(). The outcome is a RunResult.
    """
    client = client or AsyncClient()
    edits: Calls = set()
    result = await Runner.run(agent, value, **options) if not _waits(value) else None
    while result is None or result.interruptions:
        state = value if result is None else result.to_state()
        await answer(state, run_id, client, edits, **(asking or Fields()))
        result = await Runner.run(agent, state, **options)
    return result


async def answer(
    state: Any, run_id: str, client: AsyncClient | None = None, edits: Calls | None = None, **asking: Unpack[Fields]
) -> None:
    """Approves or rejects every interruption of the state as people decide; a rejection reaches the model with its reason.

    The SDK calls a tool with the model's arguments only. So an edit is a rejection that tells which arguments are approved;
    the call that then has exactly these is not asked again, where `edits` is the same set.
    """
    client = client or AsyncClient()
    edits = set() if edits is None else edits
    asked = []
    for item in state.get_interruptions():
        params = _params(item.arguments)
        if (call := (item.name, _canonical(params))) in edits:
            edits.remove(call)
            state.approve(item)
        else:
            asked.append((item, await client.open(_body(item, params, run_id, asking))))
    verdicts = await asyncio.gather(*(client.decided(approval) for _, approval in asked))
    for (item, _), verdict in zip(asked, verdicts, strict=True):
        _settle(state, item, verdict, edits)


def _waits(value: Any) -> bool:
    return isinstance(value, RunState) and bool(value.get_interruptions())


def _body(item: Any, params: dict[str, Any], run_id: str, asking: Fields) -> dict[str, Any]:
    named = Fields(**asking, external_id=plans.short_name(f"{run_id}:{item.call_id}"))
    return plans.action_body(item.name, params, None, About(), named)


def _settle(state: Any, item: Any, verdict: Verdict, edits: Calls) -> None:
    if verdict and not verdict.is_edited:
        state.approve(item)
    elif verdict:
        edits.add((item.name, _canonical(verdict.params)))
        words = f"A person approved {item.name} with other arguments only. Call it with exactly these: "
        state.reject(item, rejection_message=words + json.dumps(verdict.params))
    else:
        state.reject(item, rejection_message=verdict.note or f"Nobody approved it: {verdict.status}.")


def _params(arguments: str | None) -> dict[str, Any]:
    """What the model wrote; what is no JSON object is shown as it is."""
    try:
        params = json.loads(arguments or "{}")
    except ValueError:
        params = arguments
    return params if isinstance(params, dict) else {"arguments": params}


def _canonical(params: dict[str, Any]) -> str:
    return json.dumps(params, sort_keys=True)
