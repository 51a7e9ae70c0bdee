"""browser-use: actions that people approve, and one by which the model asks people.

The agent ends a step and an action after 180 seconds, people take longer. So a wait ends before that and the model is told to
call again: the same call goes on with the same request.
"""

import functools
import json
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Unpack

from browser_use import ActionResult

from countersign import plans
from countersign.client import ActionFields, AsyncClient
from countersign.decorator import Guarded
from countersign.plans import Fields

WAIT = 150.0  # seconds
# What browser-use passes to an action by these names, beside what the model chose.
INJECTED = (
    "context", "browser_session", "page_url", "cdp_client", "page_extraction_llm", "file_system", "available_file_paths",
    "has_sensitive_data", "extraction_schema",
)  # fmt: skip
Action = Callable[..., Awaitable[Any]]
_STILL = (
    "Nobody has decided yet. Do nothing else about it: call {name} again with the same parameters to go on waiting."
)


class Asking:
    """The requests of one agent that wait, by what was asked: the model that calls again finds its own."""

    def __init__(self, client: AsyncClient | None = None, wait: float = WAIT) -> None:
        self.client = client or AsyncClient()
        self.wait = wait
        self.waiting: dict[str, dict[str, Any]] = {}

    async def verdict(self, body: dict[str, Any]) -> Any:
        """The verdict, or None while nobody has decided."""
        asked = json.dumps(body, sort_keys=True)
        approval = self.waiting.get(asked) or await self.client.open(body)
        self.waiting[asked] = approval
        verdict = await self.client.decided(approval, self.wait)
        if verdict.is_pending:
            return None
        del self.waiting[asked]
        return verdict

    def requires_approval(
        self,
        name: str | None = None,
        *,
        title: str | None = None,
        omit: Collection[str] = (),
        **more: Unpack[ActionFields],
    ) -> Callable[[Action], Action]:
        """Below @tools.action(…): the action runs with the parameters as approved; the model hears of a rejection and why."""

        def decorate(function: Action) -> Action:
            omitted = frozenset({*omit, *INJECTED})
            guarded = Guarded(function, name or function.__name__, omitted, title, None, ActionFields(**more))

            @functools.wraps(function)
            async def action(*args: Any, **kwargs: Any) -> Any:
                call = guarded.call(args, kwargs)
                verdict = await self.verdict(call.body)
                if verdict is None:
                    return ActionResult(extracted_content=_STILL.format(name=function.__name__))
                if not verdict:
                    return ActionResult(
                        error=f"A person did not approve {guarded.name} ({verdict.status}): {verdict.note}"
                    )
                return await call.aexecuted(self.client.server, verdict)

            return action

        return decorate

    def add_ask_human(self, tools: Any, **fields: Unpack[Fields]) -> None:
        """Gives the model an action ask_human(question, options)."""

        async def ask_human(question: str, options: list[str] = []) -> ActionResult:  # noqa: B006  the model's schema
            verdict = await self.verdict(plans.question_body(question, options, fields))
            if verdict is None:
                return ActionResult(extracted_content=_STILL.format(name="ask_human"))
            if not verdict:
                return ActionResult(error=f"Nobody answered ({verdict.status}): {verdict.note}")
            words = f"A person answered {question!r}: {verdict.answer}"
            return ActionResult(extracted_content=words, long_term_memory=words)

        tools.action("Ask a person a question and wait for the answer; options are answers to choose from")(ask_human)
