"""Driving one run: observe, decide, guard, hold, intent, act, outcome; again until the agent ends, asks or loses its lease.

One coroutine for each run that this worker leases. Nothing of it is durable: whatever matters is in the two commits of a
step (runs/steps.py) and in runs/jobs.py.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any, Protocol, TypeVar

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from accounts.ids import new_id
from approvals.policies import Ruling
from billing.errors import BudgetReached, WalletEmpty
from billing.services import step_price
from machines import pictures
from machines.actions import READ_ONLY, action_hash
from machines.addresses import web_host
from machines.connections import Connected, open_session, simulated_machine
from machines.drivers.base import ActResult, Frame, MachineGone, Prompt, Session, Target
from machines.errors import MachineUnavailable
from machines.takeover import private_since
from runs import binding, guard, jobs, leases, step_money
from runs.acts import Call, edited_act, kept_action
from runs.agents.base import Act, Agent, Ask, Bound, Context, Decision, Finish
from runs.agents.registry import agent_for
from runs.events import Event
from runs.jobs import Job
from runs.secrets import cleared, kept_secrets, with_secrets, without_secrets
from runs.shield import Shielded
from runs.steps import Intent, LeaseLost, Outcome, Picture, write_intent, write_outcome, written

log = logging.getLogger(__name__)
T = TypeVar("T")
RECONNECTS = 3


class Host(Protocol):
    """What a run needs of the loop that drives it."""

    async def db(self, work: Callable[..., T], *args: Any) -> T: ...

    async def wait_for_bell(self, run_id: str, seconds: float) -> bool:
        """True when the run's bell rang, False after `seconds`."""
        ...


class Drive:
    """One leased run in the hands of this worker."""

    def __init__(self, host: Host, run_id: str, epoch: int) -> None:
        self.host = host
        self.run_id = run_id
        self.epoch = epoch
        self.connected: Connected | None = None
        self.last: ActResult | None = None
        self.frame: Frame | None = None  # the picture after the last step serves as the one before the next
        self.gone = 0  # how often in a row the machine ended while the agent looked at it
        self.draining = False

    async def go(self) -> bool:
        """Until the run ends, parks, or its lease is lost. False when driving it broke off: the lease is to run out."""
        try:
            self.job: Job = await self.host.db(jobs.load, self.run_id, self.epoch)
            self.agent: Agent = agent_for(self.job.run.agent)
            self.last = _result(self.job.run.last_result)
            while not self.draining and await self._go_on():
                pass
        except LeaseLost:
            return True
        except (OperationalError, InterfaceError):  # the database is away; the run is not to blame
            raise
        except Exception:
            log.exception("driving %s broke off; it is taken up again when its lease has run out", self.run_id)
            await self.host.db(leases.broke_off, self.run_id, self.epoch)
            return False
        finally:
            await self._disconnect()
        return True

    async def _go_on(self) -> bool:
        """One move, or one wait. False when there is nothing more to do here."""
        if self.job.run.status == "awaiting_human":
            return await self._wait()
        try:
            await self._move()
        except BudgetReached as reached:
            await self.host.db(step_money.budget_reached, self.job, reached)
        except LeaseLost:
            await self._stand_aside()
        except WalletEmpty:
            await self.host.db(jobs.break_off, self.job, "WALLET_EXHAUSTED")
            return False
        except MachineUnavailable as problem:
            if self.job.approved is None or not await self.host.db(jobs.not_started, self.job, str(problem)):
                await self.host.db(jobs.break_off, self.job, "MACHINE_UNAVAILABLE", str(problem))
                return False
        return not self.job.run.is_terminal

    async def _stand_aside(self) -> None:
        """A write was refused: a person controls the machine, or the run is lost (raises LeaseLost)."""
        fresh = await self.host.db(jobs.stand_aside, self.job)
        self.frame = None
        if fresh is not None:
            self.job = fresh
        else:
            self.job.run.status = "awaiting_human"

    # --- waiting

    async def _wait(self) -> bool:
        """Stay attached for the hot window; then let go. A decision rings the bell."""
        self.frame, self.gone = None, 0
        loop = asyncio.get_running_loop()
        until = loop.time() + await self._hot_window()
        while not self.draining:
            fresh = await self.host.db(jobs.reload, self.job)
            if fresh is not None:
                self.job = fresh
                return True
            if loop.time() >= until and await self.host.db(jobs.park, self.run_id, self.epoch):
                return False
            await self.host.wait_for_bell(self.run_id, max(0.0, until - loop.time()))
        return False

    async def _hot_window(self) -> float:
        """Seconds, as the team has it when the wait begins."""
        return await self.host.db(jobs.hot_window, self.job.run.team_id)

    # --- one move

    async def _move(self) -> None:
        connected = await self._connect()
        before = self.frame or await self._observe()
        context = self._context(connected)
        try:
            decision = await self.agent.next(context, self._eyes(connected))
        except MachineGone as gone:
            await self._lost_sight(gone)
            return
        except LeaseLost:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an agent does wrong ends its run, not the worker
            await self._agent_failed(error)
            return
        if decision.scrolled:
            before = self.frame = await self._observe()
        await self._obey(decision, context, before)

    async def _lost_sight(self, gone: MachineGone) -> None:
        """Look again, on a new connection: not for ever. Raises MachineUnavailable."""
        await self._disconnect()
        self.gone += 1
        if self.gone >= RECONNECTS:
            raise MachineUnavailable(f"The machine ends again and again while it is looked at. {gone}") from gone

    async def _agent_failed(self, error: Exception) -> None:
        log.error("agent %s failed on %s", self.job.run.agent, self.run_id, exc_info=error)
        await self.host.db(jobs.break_off, self.job, "AGENT_ERROR", f"The agent broke off: {type(error).__name__}.")
        self.job.run.status = "failed"

    async def _obey(self, decision: Decision, context: Context, before: Frame) -> None:
        texts = _texts(decision)
        move = decision.move
        if isinstance(move, Finish):
            await self._finish(move, replace(context, memory=decision.memory), texts)
        elif self.job.run.steps_completed >= self.job.run.max_steps and isinstance(move, Act):
            await self.host.db(jobs.break_off, self.job, "MAX_STEPS_REACHED")
            self.job.run.status = "failed"
        elif isinstance(move, Ask):
            picture = await self._evidence(before)
            await self.host.db(jobs.ask, self.job, move, decision.memory, texts, picture)
        else:
            await self._act(move, decision, texts, before)

    async def _finish(self, claim: Finish, context: Context, texts: tuple[Event, ...]) -> None:
        verdict = None
        if claim.passed and self.job.run.cua_version == "v4":
            connected = await self._connect()
            try:
                verdict = await self.agent.verify(context, self._eyes(connected), claim)
            except MachineGone as gone:
                await self._lost_sight(gone)  # the agent claims again, on the machine that was started again
                return
            except LeaseLost:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                await self._agent_failed(error)
                return
        await self.host.db(jobs.end, self.job, claim, verdict, texts)
        self.job.run.status = "succeeded"

    async def _act(self, act: Act, decision: Decision, texts: tuple[Event, ...], before: Frame) -> None:
        approved, denied = self.job.approved, self.job.denied
        edited = approved["payload"].get("edited_action") if approved else None
        wanted = await self._placed(act)
        act = await self._placed(edited_act(act, edited)) if edited else wanted
        ruling = await self.host.db(guard.rule, self.job.run, act)
        if guard.needs_plan(self.job.run, act) and denied is None and ruling.verdict != "deny":
            await self._propose_plan(before)
            return
        voided = None
        if approved and ruling.verdict != "deny":
            act, voided = await self._at_shown_prompt(act, approved["approval_id"])
            voided = voided or await self._no_longer_fits(wanted, approved)
        if voided or (ruling.verdict == "ask" and approved is None and denied is None):
            await self._ask_before(wanted, ruling, decision.text, self.frame or before, voided)
            return
        step_money.check_budget(self.job.run)
        message = approved or denied or {}
        policy_id = None if message else ruling.policy_id
        call = Call(act, new_id("call"), message.get("approval_id"), bool(edited), policy_id)
        hold_id = await self._intend(call, texts, self.frame or before)
        if denied is not None:
            result = ActResult(False, (denied["payload"].get("reason") or "A person said no."))
        elif ruling.verdict == "deny":
            result = ActResult(False, ruling.why)
        else:
            result = await self._do(act)
        skipped = denied is not None or ruling.verdict == "deny"
        await self._write_outcome(call, decision, result, hold_id, skipped)

    async def _ask_before(
        self, act: Act, ruling: Ruling, text: str, before: Frame, voided: binding.Voided | None
    ) -> None:
        run = self.job.run
        self.job.prompt = self._shown(await self._prompt()) if binding.goes_to_prompt(run, act) else None
        picture = await self._evidence(before)
        await self.host.db(jobs.ask_before, self.job, act, new_id("call"), ruling, text, picture, voided)

    async def _evidence(self, before: Frame) -> Picture:
        """The picture that people are shown; the job keeps the address beside it."""
        browser = self.job.run.machine_kind == "browser"
        self.job.url = (await self._retry(lambda c: self._eyes(c).state())).url if browser else None
        return await self._picture(before, "before", self.job.run.next_screenshot)

    async def _placed(self, act: Act) -> Act:
        """The action with what it would reach and the host it acts on: the machine says so, whatever the agent says."""
        if act.action.name in READ_ONLY or self.job.run.machine_kind == "simulated":
            return await self._at_host(act)
        target = await self._retry(lambda c: self._eyes(c).target(act.action))
        if target is not None:
            target = Target(**cleared(asdict(target), kept_secrets(self.job.run)))
        return await self._at_host(replace(act, target=target))

    async def _at_host(self, act: Act) -> Act:
        if self.job.run.machine_kind != "browser":
            return act
        if act.action.name == "open_url":
            return replace(act, host=web_host(act.action.params["url"]))
        state = await self._retry(lambda c: self._eyes(c).state())
        return replace(act, host=state.host or web_host(state.url or ""))

    async def _propose_plan(self, before: Frame) -> None:
        connected = await self._connect()
        plan = await self.agent.plan(self._context(connected), self._eyes(connected))
        picture = await self._evidence(before)
        await self.host.db(jobs.ask_for_plan, self.job, plan.text, picture)

    async def _no_longer_fits(self, act: Act, approved: dict[str, Any]) -> binding.Voided | None:
        """Whether what a person approved is not what would happen now; where the team wants it, by a fresh look."""
        run, approval_id = self.job.run, approved["approval_id"]
        edited = approved["payload"].get("edited_action")
        proposed = action_hash(run.machine_id or "", act.action.name, act.action.params)
        same = act.action.name == edited["name"] if edited else proposed == approved.get("action_hash", proposed)
        if not same or not (edited or binding.same_target(approved.get("target"), act)):
            return binding.Voided(approval_id, "action_changed")
        limit = await self.host.db(binding.screen_limit, run.team_id)
        if limit is None:
            return None
        self.frame = await self._observe()
        changed = await self.host.db(binding.screen_changed, approval_id, self.frame.png, act.host, limit)
        return binding.Voided(approval_id, "screen_changed") if changed else None

    async def _prompt(self) -> Prompt | None:
        return await self._retry(lambda c: self._eyes(c).prompt())

    def _shown(self, prompt: Prompt | None) -> Prompt | None:
        """The prompt as people are shown it and requests keep it."""
        return replace(prompt, line=cleared(prompt.line, kept_secrets(self.job.run))) if prompt else None

    async def _at_shown_prompt(self, act: Act, approval_id: str) -> tuple[Act, binding.Voided | None]:
        """The approved action, bound to what stands at a terminal's prompt until it is done; or why it is void."""
        if not binding.goes_to_prompt(self.job.run, act):
            return act, None
        shown = await self.host.db(binding.prompt_shown, approval_id)
        now = await self._prompt()
        if now is None:
            return act, None
        voided = binding.prompt_changed(approval_id, act, shown, self._shown(now))
        if voided:
            self.frame = await self._observe()
        return replace(act, action=replace(act.action, prompt=now)), voided

    async def _intend(self, call: Call, texts: tuple[Event, ...], before: Frame) -> str | None:
        job, run = self.job, self.job.run
        index = run.steps_completed + 1
        picture = await self._picture(before, "before", run.next_screenshot)
        intent = Intent(
            run.id, self.epoch, index, call.id, kept_action(call.act), call.act.host,
            "\n".join(e[1]["text"] for e in texts), (*texts, picture.event(index), call.event(index)), (picture,),
            picture.index + 1, timezone.now(), inbox=job.inbox, inbox_secrets=run.inbox_secrets if job.inbox else None,
            approval_id=call.approval_id, hold=step_money.hold(job, index), policy_id=call.policy_id,
            root_id=run.root_id if run.parent_id else None, price=step_price(run.cua_version),
        )  # fmt: skip
        hold_id = await self.host.db(write_intent, intent)
        run.next_screenshot = picture.index + 1
        job.inbox, job.readable, job.approved, job.denied, job.interrupted = [], [], None, None, False
        run.inbox_secrets = None
        return hold_id

    async def _do(self, act: Act) -> ActResult:
        """Act on the machine; a machine that dies under the action is a failed action, and is restarted for the next."""
        connected, start, kept = await self._connect(), timezone.now(), kept_secrets(self.job.run)
        action = with_secrets(act, kept)
        if action is None:
            return ActResult(False, "A secret that this action needs is not there any more.")
        try:
            result = without_secrets(await connected.session.act(action), kept)
        except MachineGone as gone:
            await self._disconnect()
            return ActResult(False, f"The machine did not answer: {gone}")
        terminal = self.job.run.machine_kind == "terminal"
        if terminal and await self.host.db(private_since, self.job.run.id, start):
            return _hidden(result)  # somebody may have taken control privately and given it back meanwhile
        return result

    async def _write_outcome(
        self, call: Call, decision: Decision, result: ActResult, hold_id: str | None, skipped: bool
    ) -> None:
        run = self.job.run
        index, cents = run.steps_completed + 1, step_price(run.cua_version)
        after, picture, result = await self._look_after(result)
        cost, following = run.cost_cents + cents, picture.index + 1 if picture else run.next_screenshot
        last = {"success": result.success, "error": result.error, "data": result.data}
        events: tuple[Event, ...] = (
            ("tool_result", {"step": index, "call_id": call.id, "success": result.success, "skipped": skipped,
                             "error": result.error, "approval_id": call.approval_id, **written(result.data)}),
            *((picture.event(index),) if picture else ()),
            ("step", {"steps_completed": index}),
            ("billing", {"credits_charged": cost, "cost_cents": cost}),
        )  # fmt: skip
        outcome = Outcome(
            run.id, self.epoch, index, call.id, result.success, result.error, skipped, cents, decision.memory, last, events,
            (picture,) if picture else (), following, timezone.now(), hold_id, call.approval_id,
        )  # fmt: skip
        await self.host.db(write_outcome, outcome)
        run.steps_completed, run.cost_cents, run.memory, run.next_screenshot = index, cost, decision.memory, following
        self.last, self.frame, self.gone = result, after, 0

    # --- the machine

    async def _connect(self) -> Connected:
        if self.connected is None:
            run, db = self.job.run, self.host.db
            self.connected = simulated_machine() if run.owns_machine else await open_session(run.machine_id or "", db)
        return self.connected

    async def _disconnect(self) -> None:
        """Let go of the machine, whether or not it is still there."""
        connected, self.connected = self.connected, None
        if connected is not None:
            with suppress(MachineGone):
                await connected.session.close()

    async def _observe(self) -> Frame:
        return await self._retry(lambda c: self._eyes(c).screenshot())

    def _eyes(self, connected: Connected) -> Session:
        """The machine as an agent may see it: nothing of a private takeover."""
        run = self.job.run
        return connected.session if run.owns_machine else Shielded(connected.session, run.id, self.host.db)

    async def _look_after(self, result: ActResult) -> tuple[Frame | None, Picture | None, ActResult]:
        """The screen after an action, its picture, and what the machine said; nothing of a private takeover."""
        try:
            after = await self._observe()
        except LeaseLost:
            return None, None, _hidden(result)
        return after, await self._picture(after, "after", self.job.run.next_screenshot), result

    async def _retry(self, look: Callable[[Connected], Awaitable[T]]) -> T:
        for _ in range(RECONNECTS):
            connected = await self._connect()
            try:
                return await look(connected)
            except MachineGone:
                await self._disconnect()
        raise MachineUnavailable("The machine ends again and again while it is looked at.")

    async def _picture(self, frame: Frame, phase: str, index: int) -> Picture:
        sha = await asyncio.to_thread(pictures.store, frame.png)
        return Picture(index, phase, sha, replace(frame, text=cleared(frame.text, kept_secrets(self.job.run))))

    def _context(self, connected: Connected) -> Context:
        run = self.job.run
        restarted = connected.restarts > run.machine_restarts and run.steps_completed > 0
        run.machine_restarts = connected.restarts
        data = {k: v for k, v in (run.input or {}).items() if k != "goal"}
        return Context(
            task=run.task or "", data=data, engine=run.cua_version, may_ask=run.human_in_the_loop is not False,
            step_index=run.steps_completed + 1, memory=run.memory, machine_kind=run.machine_kind,
            width=connected.spec.width, height=connected.spec.height, last=self.last, messages=self.job.messages,
            interrupted=self.job.interrupted, restarted=restarted, instructions=run.instructions,
            system_prompt=run.system_prompt, bound=tuple(Bound(*place) for place in run.bound), secrets=kept_secrets(run),
            db=self.host.db,
        )  # fmt: skip


def _hidden(result: ActResult) -> ActResult:
    """What is known of an action during which a private takeover lived: whether it worked."""
    return ActResult(result.success, None if result.success else "Hidden by a private takeover.")


def _result(kept: dict[str, Any] | None) -> ActResult | None:
    return ActResult(kept["success"], kept["error"], kept["data"]) if kept else None


def _texts(decision: Decision) -> tuple[Event, ...]:
    said: list[Event] = []
    if decision.reasoning:
        said.append(("reasoning", {"text": decision.reasoning}))
    if decision.text:
        said.append(("text", {"text": decision.text}))
    return tuple(said)
