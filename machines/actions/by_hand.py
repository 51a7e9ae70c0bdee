"""What people and programs do on a machine by hand: actions, a command, a picture.

Actions of an agent's run do not pass here: the drive loop guards and records them.
"""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from django.utils import timezone

from accounts.access import require
from accounts.actor import TAKE_CONTROL, Actor
from accounts.errors import InsufficientScope
from machines import pictures
from machines.access import get_machine
from machines.actions import typed_secrets
from machines.actions.canonical import ENDS, TERMINAL_ONLY, ActionError, Screen, canonical
from machines.drivers.base import Action, ActResult, Frame, MachineGone, Session, TerminalResult
from machines.drivers.within import within
from machines.errors import MachineUnavailable
from machines.models import Machine, MachineStatus, TakeoverLease
from machines.processes.sessions import session_of_thread, with_session
from machines.schemas import ActionBody, OutcomeObject
from machines.services import is_simulated, log_actions, log_command, remember_picture
from machines.stops import require_unstopped
from machines.takeover import control_leases
from web.errors import Invalid, InvalidState, Refusal
from web.json_values import Detail

ACTION_MS = 30_000
SPARE_SECONDS = 5.0  # what a machine may take longer than the timeout it was given
PICTURE_SECONDS = 20.0
BATCH_SECONDS = 120.0  # a batch starts no further step after that
OUTPUT_CHARACTERS = 5000
WITHOUT_CONTROL = "An approver acts on a machine only while they control it. Take control first."
TERMINAL_KINDS = frozenset({"terminal", "desktop"})


def canonical_action(machine: Machine, body: ActionBody, *at: str | int) -> Action:
    """The body in canonical form. Raises Invalid; `at` is where the action stands in the request's body."""
    if body.action_name is None:
        raise Invalid((("body", *at, "command"), "Field required.", "missing"))
    screen = Screen(machine.screen_width, machine.screen_height)
    parameters = body.parameters if body.parameters is not None else body.params
    try:
        name, params = canonical(body.action_name, parameters, screen, machine.kind)
    except ActionError as error:
        violations = [(("parameters", v.field) if v.field else ("command",), v) for v in error.violations]
        raise Invalid(*((("body", *at, *place), v.message, v.type) for place, v in violations)) from error
    return Action(name, params, body.timeout_ms or ACTION_MS + params.get("ms", 0))


def canonical_actions(machine: Machine, steps: list[ActionBody]) -> list[Action]:
    """Raises Invalid with the violations of all steps together."""
    actions: list[Action] = []
    wrong: list[Detail] = []
    for index, body in enumerate(steps):
        try:
            actions.append(canonical_action(machine, body, "steps", index))
        except Invalid as error:
            wrong += error.violations
    if wrong:
        raise Invalid(*wrong)
    return actions


def require_running(machine: Machine) -> None:
    if machine.status != MachineStatus.RUNNING:
        raise InvalidState(current_state=machine.status, allowed_from=[str(MachineStatus.RUNNING)])


@dataclass(frozen=True)
class Outcome:
    """How one action went; `png` only for a screenshot."""

    action: Action
    result: ActResult
    duration_ms: int
    png: bytes | None = None

    def body(self) -> OutcomeObject:
        return {
            "command": self.action.name,
            "params": self.action.params,
            "success": self.result.success,
            "result": self.result.data,
            "error": self.result.error,
            "duration_ms": self.duration_ms,
            "screenshot": base64.b64encode(self.png).decode() if self.png is not None else None,
        }


def act(
    actor: Actor, machine: Machine, actions: list[Action], *, lease_id: str | None = None, stop_on_error: bool = True
) -> list[Outcome]:
    """Do them in order over one connection; fewer outcomes than actions: a failure or BATCH_SECONDS ended it, or
    somebody else got the machine meanwhile.

    A failure on the machine is an outcome. Before anything is done: InsufficientScope, InvalidState, Stopped, MachineBusy,
    MachineInTakeover, MachineUnavailable. Who holds the machine's lease may act while a run drives it.
    """
    lease = _admit(actor, machine, actions, lease_id)
    log_actions(actor, machine, actions, lease)
    outcomes: list[Outcome] = []
    hidden = typed_secrets.texts_of(machine.id)
    end = time.monotonic() + BATCH_SECONDS
    with session_of_thread(machine) as session:
        for action in actions:
            try:
                _admit(actor, machine, [action], lease.id if lease else lease_id)
            except Refusal:  # meanwhile somebody else has it
                if not outcomes:
                    raise
                break
            outcomes.append(session.do(partial(_do, action, hidden), action.timeout_ms / 1000 + 2 * SPARE_SECONDS))
            if time.monotonic() > end or (stop_on_error and not outcomes[-1].result.success):
                break
    return outcomes


def _admit(actor: Actor, machine: Machine, actions: list[Action], lease_id: str | None) -> TakeoverLease | None:
    """May they be done now? Looks at the machine as it is. Raises as act()."""
    require_rights(actor, machine, actions)
    now = get_machine(actor, machine.id)
    require_running(now)
    require_unstopped(now)
    is_input = any(action.name not in control_leases.NO_INPUT for action in actions)
    return control_leases.admit(actor, now, lease_id, is_input=is_input)


def require_rights(actor: Actor, machine: Machine, actions: list[Action]) -> None:
    """What is typed at a terminal is a command. An approver acts only as long as they control the machine."""
    if any(_is_shell(machine, action) for action in actions):
        require(actor, "terminal:exec")
    if actor.may("actions:exec") or (actor.may(TAKE_CONTROL) and control_leases.controls(actor, machine)):
        return
    words = WITHOUT_CONTROL if actor.may(TAKE_CONTROL) else None
    raise InsufficientScope(words, required_scope="actions:exec", current_scopes=actor.named_scopes)


def _is_shell(machine: Machine, action: Action) -> bool:
    return action.name in TERMINAL_ONLY or (machine.kind == "terminal" and action.name not in control_leases.NO_INPUT)


def may_type(actor: Actor, machine: Machine) -> bool:
    """Whether the actor, in control of the machine, may give it input."""
    return machine.kind != "terminal" or actor.may("terminal:exec")


async def _do(action: Action, hidden: Sequence[str], session: Session) -> Outcome:
    start = time.monotonic()
    png = None
    try:
        result, png = await within(action.timeout_ms / 1000 + SPARE_SECONDS, _perform(session, action, hidden))
    except MachineGone as error:
        result = ActResult(success=False, error=f"The machine stopped answering: {error}")
    except TimeoutError:
        result = ActResult(success=False, error=f"Not done after {action.timeout_ms} ms; it may still take effect.")
    return Outcome(action, result, round((time.monotonic() - start) * 1000), png)


async def _perform(session: Session, action: Action, hidden: Sequence[str]) -> tuple[ActResult, bytes | None]:
    if action.name == "screenshot":
        frame = await session.screenshot(hidden)
        data = {"mime_type": "image/png", "width": frame.width, "height": frame.height}
        return ActResult(success=True, data=data), frame.png
    if action.name in ENDS:  # they end a run; the machine has nothing to do
        return _declared(action), None
    return await session.act(replace(action, hidden=tuple(hidden))), None


def _declared(action: Action) -> ActResult:
    """`done` and `fail` say how it went: nothing is done after a `fail` unless the batch goes on after errors."""
    if action.name == "fail":
        return ActResult(success=False, error=action.params["reason"] or "The action fail says that it failed.")
    return ActResult(success=True)


def take_picture(actor: Actor, machine: Machine) -> tuple[Frame, datetime]:
    """The screen now, also while a run drives it. Raises InvalidState, MachineUnavailable, MachineTimeout, and
    MachineInTakeover while somebody else controls it privately, Stopped."""
    require_running(machine)
    control_leases.require_visible(actor, machine.id)
    if not is_simulated(machine):  # its processes stand still, and would not answer
        require_unstopped(machine)
    start, hidden = timezone.now(), typed_secrets.texts_of(machine.id)

    async def use(session: Session) -> Frame:
        return await session.screenshot(hidden)

    try:
        frame, at = with_session(machine, use, PICTURE_SECONDS), timezone.now()
    except MachineGone as error:
        raise MachineUnavailable from error
    control_leases.require_visible(actor, machine.id, start)
    return frame, at


def keep_picture(actor: Actor, machine_id: str) -> None:
    """Take a picture and let the machines page show it. Raises as take_picture(), and InvalidState in a private
    takeover: of that time nothing is stored, not even for its holder."""
    start = timezone.now()
    frame, at = take_picture(actor, get_machine(actor, machine_id))
    if control_leases.hidden_since(machine_id, start):
        message = "No picture of a private takeover is kept."
        raise InvalidState(message, current_state="running", allowed_from=["running"])
    remember_picture(machine_id, pictures.store(frame.png), at)


def run_command(
    actor: Actor, machine: Machine, command: str, timeout_ms: int, cwd: str | None = None
) -> TerminalResult:
    """Run a shell command beside the visible screen. Raises as act()."""
    if machine.kind not in TERMINAL_KINDS:
        message = f"A {machine.kind} machine has no terminal; terminal and desktop machines do."
        raise InvalidState(message, current_state=machine.status, allowed_from=["running"], kind=machine.kind)
    now = get_machine(actor, machine.id)
    require_running(now)
    require_unstopped(now)
    log_command(actor, machine, command, control_leases.admit(actor, now))

    async def use(session: Session) -> TerminalResult:
        return await session.terminal(command, timeout_ms, cwd)

    try:
        return with_session(machine, use, timeout_ms / 1000 + SPARE_SECONDS)
    except MachineGone as error:
        raise MachineUnavailable("The machine stopped answering; the command may have run.") from error
