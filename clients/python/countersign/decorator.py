"""@requires_approval: a function that runs only with parameters that people have approved."""

import functools
import inspect
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, Unpack, cast

from countersign import plans
from countersign.client import ActionFields, AsyncClient, Client, parted
from countersign.errors import ActionChanged, AlreadyDone, CountersignError
from countersign.exchange import Plan
from countersign.transport import Server
from countersign.verdict import Verdict

P = ParamSpec("P")
R = TypeVar("R")
_log = logging.getLogger("countersign")
_OWNERS = frozenset({"self", "cls"})  # of a method; nobody approves an object


def requires_approval(
    name: str | None = None,
    *,
    title: str | None = None,
    omit: Collection[str] = (),
    external_id_from: Callable[..., str] | None = None,
    client: Client | AsyncClient | None = None,
    **more: Unpack[ActionFields],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Asks before each call of a function, sync or async, and calls it with the parameters as approved.

    `name`: of the action, else that of the function. `omit`: parameters that people do not see and that are not bound to the
    approval, such as a session. `external_id_from`: is called as the function is and names the call, so that to ask twice is
    to ask once. `title`, `more`: as in approve(). The function raises NotApproved instead of running, and a receipt says
    whether it ran.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        guarded = Guarded(
            function, name or function.__name__, frozenset(omit), title, external_id_from, ActionFields(**more)
        )

        @functools.wraps(function)
        async def acall(*args: P.args, **kwargs: P.kwargs) -> Any:
            server = (client or Client()).server
            asked = guarded.call(args, kwargs)
            return await asked.aexecuted(server, await server.arun(plans.asked(asked.body)))

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            server = (client or Client()).server
            asked = guarded.call(args, kwargs)
            return cast(R, asked.executed(server, server.run(plans.asked(asked.body))))

        return cast(Callable[P, R], acall) if inspect.iscoroutinefunction(function) else call

    return decorate


@dataclass(frozen=True)
class Guarded:
    """A function with what is said about it when it asks."""

    function: Callable[..., Any]
    name: str
    omit: frozenset[str]
    title: str | None
    external_id_from: Callable[..., str] | None
    more: ActionFields

    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "GuardedCall":
        """Raises TypeError for arguments that the function does not take."""
        arguments = inspect.signature(self.function).bind(*args, **kwargs)
        arguments.apply_defaults()
        params = self._params(arguments)
        about, fields = parted(self.more)
        if self.external_id_from:
            fields["external_id"] = self.external_id_from(*args, **kwargs)
        return GuardedCall(self, arguments, params, plans.action_body(self.name, params, self.title, about, fields))

    def _params(self, arguments: inspect.BoundArguments) -> dict[str, Any]:
        """What people see: by the names of the parameters, those that **kwargs take included."""
        params: dict[str, Any] = {}
        for name, value in arguments.arguments.items():
            if self.gathers(name):
                params |= value
            else:
                params[name] = value
        return {name: value for name, value in params.items() if name not in self.omit | _OWNERS}

    def gathers(self, name: str) -> bool:
        """Is this the parameter **kwargs?"""
        parameter = inspect.signature(self.function).parameters.get(name)
        return parameter is not None and parameter.kind is parameter.VAR_KEYWORD


@dataclass(frozen=True)
class GuardedCall:
    """One call of it. `body`: the request; `params`: what of it people see."""

    of: Guarded
    arguments: inspect.BoundArguments
    params: dict[str, Any]
    body: dict[str, Any]

    def executed(self, server: Server, verdict: Verdict) -> Any:
        """What the function returns, called as approved; the receipt says whether it did. Raises as approved(), and what it raises."""
        arguments = self.approved(verdict)
        try:
            result = self.of.function(*arguments.args, **arguments.kwargs)
        except BaseException as error:
            server.run(reported(verdict, "failed", type(error).__name__))
            raise
        server.run(reported(verdict, "executed"))
        return result

    async def aexecuted(self, server: Server, verdict: Verdict) -> Any:
        """As executed(), of a coroutine function."""
        arguments = self.approved(verdict)
        try:
            result = await self.of.function(*arguments.args, **arguments.kwargs)
        except BaseException as error:
            await server.arun(reported(verdict, "failed", type(error).__name__))
            raise
        await server.arun(reported(verdict, "executed"))
        return result

    def approved(self, verdict: Verdict) -> inspect.BoundArguments:
        """The arguments to call the function with. Raises NotApproved, ActionChanged, AlreadyDone."""
        verdict.or_raise()
        if verdict.outcome is not None:
            raise AlreadyDone(
                f"{verdict.id} was approved for one execution, and that was reported as {verdict.outcome}."
            )
        if verdict.params.keys() != self.params.keys():
            raise ActionChanged(f"{verdict.id} was edited into parameters that {self.of.name} does not have.")
        for name, value in verdict.params.items() if verdict.is_edited else ():
            self._set(name, value)
        return self.arguments

    def _set(self, name: str, value: Any) -> None:
        arguments = self.arguments.arguments
        if name in self.arguments.signature.parameters and not self.of.gathers(name):
            arguments[name] = value
        else:
            gathering = next(each for each in arguments if self.of.gathers(each))
            arguments[gathering] = arguments[gathering] | {name: value}


def reported(verdict: Verdict, outcome: str, text: str | None = None) -> Plan[None]:
    """The receipt. What has been done is not undone because nobody hears of it: a failure is logged, not raised."""
    try:
        yield from plans.reported(verdict.id, outcome, text)
    except CountersignError as error:
        _log.warning("The receipt of %s was not completed: %s", verdict.id, error)
