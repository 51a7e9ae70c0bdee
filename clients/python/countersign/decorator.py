"""@requires_approval: a function that runs only with parameters that people have approved."""

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, Unpack, cast

from countersign import plans
from countersign.client import ActionFields, parted
from countersign.errors import ActionChanged, CountersignError
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
    external_id: Callable[..., str] | None = None,
    url: str | None = None,
    key: str | None = None,
    **more: Unpack[ActionFields],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Asks before each call of a function, sync or async, and calls it with the parameters as approved.

    `name`: of the action, else that of the function. `omit`: parameters that people do not see and that are not bound to the
    approval, such as a session. `external_id`: is called as the function is and names the call, so that to ask twice is to
    ask once. The others: as in Client and approve(). The function raises NotApproved instead of running, and a receipt says
    whether it ran.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        guarded = _Guarded(function, name or function.__name__, frozenset(omit), title, external_id, more)

        @functools.wraps(function)
        async def acall(*args: P.args, **kwargs: P.kwargs) -> Any:
            server = Server.named(url, key)
            verdict, arguments = await server.arun(guarded.approved(args, kwargs))
            try:
                result = await cast(Awaitable[R], function(*arguments.args, **arguments.kwargs))
            except BaseException as error:
                await server.arun(_reported(verdict, "failed", type(error).__name__))
                raise
            await server.arun(_reported(verdict, "executed"))
            return result

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            server = Server.named(url, key)
            verdict, arguments = server.run(guarded.approved(args, kwargs))
            try:
                result = function(*arguments.args, **arguments.kwargs)
            except BaseException as error:
                server.run(_reported(verdict, "failed", type(error).__name__))
                raise
            server.run(_reported(verdict, "executed"))
            return result

        return cast(Callable[P, R], acall) if inspect.iscoroutinefunction(function) else call

    return decorate


@dataclass(frozen=True)
class _Guarded:
    """A function with what is said about it when it asks."""

    function: Callable[..., Any]
    name: str
    omit: frozenset[str]
    title: str | None
    external_id: Callable[..., str] | None
    more: ActionFields

    def approved(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan[tuple[Verdict, inspect.BoundArguments]]:
        """The verdict and the arguments to call the function with. Raises NotApproved, ActionChanged, TypeError."""
        arguments = inspect.signature(self.function).bind(*args, **kwargs)
        arguments.apply_defaults()
        params = self._params(arguments)
        about, fields = parted(self.more)
        if self.external_id:
            fields["external_id"] = self.external_id(*args, **kwargs)
        verdict = yield from plans.asked(plans.action_body(self.name, params, self.title, about, fields))
        verdict.or_raise()
        if verdict.params.keys() != params.keys():
            raise ActionChanged(f"{verdict.id} was edited into parameters that {self.name} does not have.")
        if verdict.is_edited:
            self._edit(arguments, params, verdict.params)
        return verdict, arguments

    def _params(self, arguments: inspect.BoundArguments) -> dict[str, Any]:
        """What people see: by the names of the parameters, those that **kwargs take included."""
        params = {}
        for name, value in arguments.arguments.items():
            if self._gathers(name):
                params |= value
            else:
                params[name] = value
        return {name: value for name, value in params.items() if name not in self.omit | _OWNERS}

    def _edit(self, arguments: inspect.BoundArguments, asked: dict[str, Any], approved: dict[str, Any]) -> None:
        changed = {name: value for name, value in approved.items() if value != asked[name]}
        for name, value in changed.items():
            if name in arguments.signature.parameters and not self._gathers(name):
                arguments.arguments[name] = value
            else:
                gathering = next(each for each in arguments.arguments if self._gathers(each))
                arguments.arguments[gathering] = arguments.arguments[gathering] | {name: value}

    def _gathers(self, name: str) -> bool:
        parameter = inspect.signature(self.function).parameters.get(name)
        return parameter is not None and parameter.kind is parameter.VAR_KEYWORD


def _reported(verdict: Verdict, outcome: str, text: str | None = None) -> Plan[None]:
    """The receipt. What has been done is not undone because nobody hears of it: a failure is logged, not raised."""
    try:
        yield from plans.reported(verdict.id, outcome, text)
    except CountersignError as error:
        _log.warning("The receipt of %s was not completed: %s", verdict.id, error)
