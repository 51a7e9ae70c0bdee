"""Driving one run: observe, decide, guard, hold, intent, act, outcome; again until the agent ends, asks or loses its lease.

One coroutine for each run that this worker leases. Nothing of it is durable: whatever matters is in the two commits of a
step (runs/driving/steps.py) and in runs/driving/jobs.py.
"""

import asyncio
import logging
import time
from dataclasses import replace
from typing import Any

from django.utils import timezone

from approvals.action_hash import action_hash
from approvals.policies.rules import Ruling
from billing.errors import BudgetReached, WalletEmpty
from billing.services import step_price
from database.ids import new_id
from database.outages import passes
from inference.errors import ModelProblem
from machines.drivers.base import ActResult, Frame
from machines.errors import MachineElsewhere, MachineFull, MachineStandsStill, MachineUnavailable
from machines.processes.sessions import Connected
from runs.agents.action_summary import Call, edited_act, kept_action, point_of
from runs.agents.base import Act, Again, Ask, Bound, Context, Decision, Finish
from runs.agents.registry import agent_for
from runs.driving import disk_watch, guard, jobs, leases, model_jobs, step_costs
from runs.driving.driven_machine import Host
from runs.driving.steps import Intent, Judged, LeaseLost, Outcome, write_intent, write_outcome, written
from runs.driving.thinking import Thinking, words
from runs.log import Event
from runs.requests import action_contents, stale_approvals
from runs.secrets.redaction import REDACTED
from runs.secrets.services import kept_secrets

log = logging.getLogger(__name__)
HALTED_SECONDS = (
    1.0  # who needed so long from the intent to the action may have been halted, and looks whether it still holds
)


class Drive(Thinking):
    """One leased run in the hands of this worker."""

    def __init__(self, host: Host, run_id: str, epoch: int) -> None:
        super().__init__(host, run_id, epoch)
        self.last: ActResult | None = None
        self.cursor: tuple[int, int] | None = None
        self.draining = False

    async def go(self) -> bool:
        """Until the run ends, parks, or its lease is lost. False when driving it broke off: the lease is to run out."""
        try:
            self.job = await self.host.db(jobs.load, self.run_id, self.epoch)
            self.last, self.cursor = _result(self.job.run.last_result), _cursor(self.job.run.last_result)
            while not self.draining and await self._go_on():
                pass
        except LeaseLost:
            return True
        except Exception as error:
            if passes(error):  # the run is not to blame, nor its worker
                log.warning("driving %s broke off, and goes on: %s", self.run_id, error)
                return True
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
        if self.host.disk.full():
            await self._wait_for_room()
            return True
        if model_jobs.seconds_to_wait(self.job.run) > 0:
            await self._wait_for_model()
            return True
        try:
            await self._move()
        except BudgetReached as reached:
            await self.host.db(step_costs.budget_reached, self.job, reached)
        except LeaseLost:
            await self._stand_aside()
        except WalletEmpty:
            await self.host.db(jobs.break_off, self.job, "WALLET_EXHAUSTED")
            return False
        except (
            MachineElsewhere,
            MachineStandsStill,
        ):  # our node was declared over, or a stop came: who claims it then looks anew
            raise LeaseLost from None
        except MachineUnavailable as problem:
            if not await self._asks_about(problem):
                await self.host.db(jobs.break_off, self.job, "MACHINE_UNAVAILABLE", str(problem))
                return False
        return not self.job.run.is_terminal

    async def _asks_about(self, problem: MachineUnavailable) -> bool:
        """Whether people are asked, because they can help or what they approved could not begin; else the run fails."""
        if isinstance(problem, MachineFull):
            return await self.host.db(jobs.ask_about_machine, self.job, str(problem))
        return self.job.approved is not None and await self.host.db(jobs.not_started, self.job, str(problem))

    async def _stand_aside(self) -> None:
        """A write was refused: a person controls the machine, or the run is lost (raises LeaseLost)."""
        fresh = await self.host.db(jobs.stand_aside, self.job)
        self.frame = None
        if fresh is not None:
            self.job = fresh

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

    async def _wait_for_room(self) -> None:
        """Nothing is begun that may not be written down. Raises LeaseLost when the run ended meanwhile."""
        self.frame = None
        await self.host.db(disk_watch.say, self.job, disk_watch.WAITS)
        while not self.draining and self.host.disk.full():
            if await self.host.wait_for_bell(self.run_id, disk_watch.LOOK_SECONDS):
                fresh = await self.host.db(jobs.reload, self.job)
                if fresh is None:
                    return
                self.job = fresh
        if not self.draining:
            await self.host.db(disk_watch.say, self.job, disk_watch.GOES_ON)

    async def _hot_window(self) -> float:
        """Seconds, as the team has it when the wait begins."""
        return await self.host.db(jobs.hot_window, self.job.run.team_id)

    # --- one move

    async def _move(self) -> None:
        try:
            self.agent = agent_for(self.job.run.agent)
        except ModelProblem as problem:
            await self._no_answer(problem)
            return
        connected = await self._connect()
        before = self.frame or await self._observe()
        context = await self._context(connected, before)
        decision = await self._ask_agent(lambda: self._next(context, self._agents_view(connected)))
        if decision is None:
            return
        self.job.run.machine_restarts = connected.restarts
        texts = words(decision)
        if self.agent.thinks:
            decision, texts = await self._kept(decision), ()
        if decision.scrolled:
            before = self.frame = await self._observe()
        await self._obey(decision, context, before, texts)

    async def _obey(self, decision: Decision, context: Context, before: Frame, texts: tuple[Event, ...]) -> None:
        """`texts`: what the agent said and the log has not yet."""
        move = decision.move
        if isinstance(move, Finish):
            await self._finish(move, replace(context, memory=decision.memory), texts)
        elif isinstance(move, Again):
            self.frame = None  # the next look is a fresh one
        elif self.job.run.steps_completed >= self.job.run.max_steps and isinstance(move, Act):
            await self.host.db(jobs.break_off, self.job, "MAX_STEPS_REACHED")
        elif isinstance(move, Ask):
            picture = await self._evidence(before)
            await self.host.db(jobs.ask, self.job, move, decision.memory, texts, picture)
        else:
            await self._act(move, decision, texts, before)

    async def _finish(self, claim: Finish, context: Context, texts: tuple[Event, ...]) -> None:
        verdict = None
        if claim.passed and self.job.run.cua_version == "v4":
            connected = await self._connect()
            verdict = await self._ask_agent(lambda: self.agent.verify(context, self._agents_view(connected), claim))
            if verdict is None:
                return  # the agent claims again: on the machine that was started again, or when its model answers
        await self._commit(verdict.calls if verdict else (), jobs.end, claim, verdict, texts)

    async def _act(self, act: Act, decision: Decision, texts: tuple[Event, ...], before: Frame) -> None:
        edited = self.job.approved["payload"].get("edited_action") if self.job.approved else None
        proposed = await self._placed(act)
        act = await self._placed(edited_act(act, edited)) if edited else proposed
        approved, denied = self.job.approved, self._denied(proposed)
        ruling = await self.host.db(guard.rule, self.job.run, act)
        if guard.needs_plan(self.job.run, act) and denied is None and ruling.verdict != "deny":
            await self._propose_plan(before)
            return
        voided = None
        if approved and ruling.verdict != "deny":
            act, voided = await self._at_shown_prompt(act, approved["approval_id"])
            voided = voided or await self._no_longer_fits(proposed, approved)
            if edited and voided is None:
                voided = await self.host.db(stale_approvals.beyond_approval, approved["approval_id"], ruling)
            if voided is None:
                act, voided = await self._with_shown_contents(act, approved["approval_id"], edited=bool(edited))
        if voided or (ruling.verdict == "ask" and approved is None and denied is None):
            await self._ask_before(proposed, ruling, decision.text, self.frame or before, voided)
            return
        step_costs.check_budget(self.job.run)
        message = approved or denied or {}
        call = Call(
            act,
            new_id("call"),
            message.get("approval_id"),
            bool(edited),
            None if message else ruling.policy_id,
            skipped=denied is not None or ruling.verdict == "deny",
            machine_kind=self.job.run.machine_kind,
        )
        since = time.monotonic()
        hold_id = await self._intend(call, guard.judged(self.job.run, ruling), decision, texts, self.frame or before)
        if denied is not None:
            result = ActResult(False, (denied["payload"].get("reason") or "A person said no."))
        elif ruling.verdict == "deny":
            result = ActResult(False, ruling.why)
        else:
            if time.monotonic() - since > HALTED_SECONDS:
                await self.host.db(jobs.require_unstopped, self.job)
            result = await self._do(act, firm=approved is not None)
        await self._write_outcome(call, decision, result, hold_id)

    def _denied(self, act: Act) -> dict[str, Any] | None:
        """What a person said to this action. Who thinks may have thought again since, and want another one."""
        denied, run = self.job.denied, self.job.run
        if denied is None or not self.agent.thinks:
            return denied
        wants = action_hash(run.machine_id or "", act.action.name, act.action.params)
        return denied if wants == denied.get("action_hash", wants) else None

    async def _ask_before(
        self, act: Act, ruling: Ruling, text: str, before: Frame, voided: stale_approvals.Voided | None
    ) -> None:
        run = self.job.run
        self.job.prompt = self._shown(await self._prompt()) if stale_approvals.goes_to_prompt(run, act) else None
        self.job.contents = action_contents.kept_contents(run, await self._contents(act))
        picture = await self._evidence(before)
        await self.host.db(jobs.ask_before, self.job, act, new_id("call"), ruling, text, picture, voided)

    async def _propose_plan(self, before: Frame) -> None:
        connected = await self._connect()
        context = await self._context(connected, before)
        plan = await self._ask_agent(lambda: self.agent.plan(context, self._agents_view(connected)))
        if plan is not None:
            picture = await self._evidence(before)
            await self._commit(plan.calls, model_jobs.ask_for_plan, plan, picture, self.agent.thinks)

    async def _no_longer_fits(self, act: Act, approved: dict[str, Any]) -> stale_approvals.Voided | None:
        """Whether what a person approved is not what would happen now; where the team wants it, by a fresh look."""
        run, approval_id = self.job.run, approved["approval_id"]
        edited = approved["payload"].get("edited_action")
        proposed = action_hash(run.machine_id or "", act.action.name, act.action.params)
        same = act.action.name == edited["name"] if edited else proposed == approved.get("action_hash", proposed)
        if not same or not (edited or stale_approvals.same_target(approved.get("target"), act)):
            return stale_approvals.Voided(approval_id, "action_changed")
        if not stale_approvals.same_checks(approved.get("checks", []), act):
            return stale_approvals.Voided(
                approval_id, "action_changed", "The vendor of the model has doubts that were not shown before."
            )
        limit = await self.host.db(stale_approvals.screen_limit, run.team_id)
        if limit is None:
            return None
        self.frame = await self._observe()
        changed = await self.host.db(stale_approvals.screen_changed, approval_id, self.frame.png, act.host, limit)
        return stale_approvals.Voided(approval_id, "screen_changed") if changed else None

    async def _at_shown_prompt(self, act: Act, approval_id: str) -> tuple[Act, stale_approvals.Voided | None]:
        """The approved action, bound to what stands at a terminal's prompt until it is done; or why it is void."""
        if not stale_approvals.goes_to_prompt(self.job.run, act):
            return act, None
        shown = await self.host.db(stale_approvals.prompt_shown, approval_id)
        now = await self._prompt()
        if now is None:
            return act, None
        voided = stale_approvals.prompt_changed(approval_id, act, shown, self._shown(now))
        if voided:
            self.frame = await self._observe()
        return replace(act, action=replace(act.action, prompt=now)), voided

    async def _with_shown_contents(
        self, act: Act, approval_id: str, *, edited: bool
    ) -> tuple[Act, stale_approvals.Voided | None]:
        """The approved action, bound to what it works with until it is done; or why it is void."""
        now = await self._contents(act)
        voided = await self.host.db(
            stale_approvals.contents_changed, approval_id, action_contents.kept_contents(self.job.run, now), edited
        )
        if voided:
            self.frame = await self._observe()
        return replace(act, action=replace(act.action, contents=now)), voided

    async def _intend(
        self, call: Call, judged: Judged, decision: Decision, texts: tuple[Event, ...], before: Frame
    ) -> str | None:
        job, run = self.job, self.job.run
        index = run.steps_completed + 1
        picture = await self._picture(before, "before", run.next_screenshot)
        intent = Intent(
            run.id,
            self.epoch,
            index,
            call.id,
            kept_action(call.act),
            call.act.host,
            "\n".join(e[1]["text"] for e in words(decision)),
            (*texts, picture.event(index), call.event(index)),
            (picture,),
            picture.index + 1,
            timezone.now(),
            inbox=job.inbox,
            inbox_secrets=run.inbox_secrets if job.inbox else None,
            approval_id=call.approval_id,
            hold=step_costs.hold(job, index),
            policy_id=call.policy_id,
            skipped=call.skipped,
            root_id=run.root_id if run.parent_id else None,
            price=step_price(run.cua_version),
        )
        hold_id = await self.host.db(write_intent, intent, judged)
        run.next_screenshot = picture.index + 1
        job.inbox, job.readable, job.approved, job.denied, job.interrupted = [], [], None, None, False
        run.inbox_secrets = None
        return hold_id

    async def _write_outcome(self, call: Call, decision: Decision, result: ActResult, hold_id: str | None) -> None:
        run = self.job.run
        index, cents = run.steps_completed + 1, step_price(run.cua_version)
        after, picture, result = await self._look_after(result)
        cost, following = run.cost_cents + cents, picture.index + 1 if picture else run.next_screenshot
        self.cursor = self.cursor if call.skipped else point_of(call.act) or self.cursor
        last = {"success": result.success, "error": result.error, "data": result.data, "cursor": self.cursor}
        events: tuple[Event, ...] = (
            (
                "tool_result",
                {
                    "step": index,
                    "call_id": call.id,
                    "success": result.success,
                    "skipped": call.skipped,
                    "error": result.error,
                    "approval_id": call.approval_id,
                    **written(result.data),
                },
            ),
            *((picture.event(index),) if picture else ()),
            ("step", {"steps_completed": index}),
            ("billing", {"credits_charged": cost, "cost_cents": cost}),
        )
        outcome = Outcome(
            run.id,
            self.epoch,
            index,
            call.id,
            result.success,
            result.error,
            call.skipped,
            cents,
            decision.memory,
            last,
            events,
            (picture,) if picture else (),
            following,
            timezone.now(),
            hold_id,
            call.approval_id,
        )
        await self.host.db(write_outcome, outcome)
        run.steps_completed, run.cost_cents, run.memory, run.next_screenshot = index, cost, decision.memory, following
        self.last, self.frame, self.gone = result, after, 0

    async def _context(self, connected: Connected, before: Frame) -> Context:
        """What the agent may know. Who thinks is shown the very picture that people will see, which is stored first."""
        run, thinks = self.job.run, self.agent.thinks
        return Context(
            task=run.task or "",
            data={k: v for k, v in (run.input or {}).items() if k != "goal"},
            engine=run.cua_version,
            may_ask=run.human_in_the_loop is not False,
            step_index=run.steps_completed + 1,
            memory=run.memory,
            machine_kind=run.machine_kind,
            width=connected.spec.width,
            height=connected.spec.height,
            last=self.last,
            messages=self.job.messages,
            interrupted=self.job.interrupted,
            restarted=connected.restarts > run.machine_restarts and run.steps_completed > 0,
            instructions=run.instructions,
            system_prompt=run.system_prompt,
            bound=tuple(Bound(*place) for place in run.bound),
            secrets=dict.fromkeys(kept_secrets(run), REDACTED),
            run_id=run.id,
            team_id=run.team_id,
            profile=run.agent,
            frame=before,
            cursor=self.cursor,
            db=self.host.db,
            output_schema=run.output_schema,
            picture=await self._stored(before.png) if thinks else None,
        )


def _result(kept: dict[str, Any] | None) -> ActResult | None:
    return ActResult(kept["success"], kept["error"], kept["data"]) if kept else None


def _cursor(kept: dict[str, Any] | None) -> tuple[int, int] | None:
    at = (kept or {}).get("cursor")
    return (at[0], at[1]) if at else None
