"""The model agent: any model that a profile names drives the machine. Stateless; what it knows is in the run's memory."""

import asyncio
from collections.abc import Callable

from inference.calls.calling import think as call_model
from inference.specs import Spec, spec_of, verifier_of
from inference.wires import wire_for
from inference.wires.base import Wire
from machines.drivers.base import Session
from runs.agents.base import Context, Decision, Finish, Plan, Verdict
from runs.agents.model import planning, verifier
from runs.agents.model.agent_memory import State
from runs.agents.model.conversation import Conversation, Think
from runs.agents.model.observation import Observation
from runs.agents.model.turn import Turn


class ModelAgent:
    """`think`, `profile`, `verifier` and `wire` are what tests put in the place of models and the database."""

    thinks = True

    def __init__(
        self,
        think: Think = call_model,
        profile: Callable[[str], Spec] = spec_of,
        verifier: Callable[[str], Spec] = verifier_of,
        wire: Callable[[Spec], Wire] = wire_for,
    ) -> None:
        self._think = think
        self._profile = profile
        self._verifier = verifier
        self._wire = wire
        self._translators: dict[str, tuple[Spec, Wire]] = {}

    async def next(self, context: Context, session: Session) -> Decision:
        """Raises ModelProblem, GuardReached."""
        conversation = await self._conversation(context, session)
        return await Turn(context, conversation).decide()

    async def plan(self, context: Context, session: Session) -> Plan:
        """Raises ModelProblem, GuardReached."""
        return await planning.plan(await self._conversation(context, session))

    async def verify(self, context: Context, session: Session, claim: Finish) -> Verdict:
        """Raises ModelProblem: an outage is no verdict."""
        if claim.by_person:
            return Verdict(True, None, claim.summary)
        if not claim.passed:
            return Verdict(False, "fail", claim.summary)
        failed = await verifier.failed_checks(context, session)
        if failed is not None:
            return failed
        spec = await self._spec(self._verifier, context)
        wire = await self._translator(spec)
        return await verifier.Verifier(context, session, spec, wire, self._think).verdict()

    async def _conversation(self, context: Context, session: Session) -> Conversation:
        spec = await self._spec(self._profile, context)
        wire = await self._translator(spec)
        view = wire.view(context.width, context.height)
        state = State.of(context.memory)
        return Conversation(context, state, Observation(context, session), spec, wire, view, self._think)

    async def _translator(self, spec: Spec) -> Wire:
        """The wire that writes the log of this profile; nothing is sent by it."""
        entry = self._translators.get(spec.name)
        if entry is None or entry[0] != spec:
            entry = self._translators[spec.name] = spec, await asyncio.to_thread(self._wire, spec)
        return entry[1]

    async def _spec(self, read: Callable[[str], Spec], context: Context) -> Spec:
        if context.db is None:
            return read(context.profile)
        spec: Spec = await context.db(read, context.profile)
        return spec
