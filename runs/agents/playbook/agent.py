"""The playbook agent: reads a task as instructions and carries them out one by one, asking when it cannot be sure."""

import json
from collections.abc import Awaitable, Callable
from copy import deepcopy

from machines.drivers.base import Session
from runs.agents.base import Act, Ask, Context, Decision, Finish, Message, Verdict
from runs.agents.playbook import conditions, other_steps, people, screen_steps, terminal_steps
from runs.agents.playbook.grounding import short
from runs.agents.playbook.plan import UNKNOWN, Instruction, parse
from runs.agents.playbook.progress import Progress
from runs.agents.playbook.scene import Looking, Patience, Reply, Scene, fail, stuck

_STEPS: dict[str, Callable[[Scene], Awaitable[Reply]]] = {
    UNKNOWN: other_steps.unknown,
    "open_url": screen_steps.open_url,
    "click": screen_steps.click,
    "fill": screen_steps.fill,
    "select_option": screen_steps.select_option,
    "check": screen_steps.check,
    "uncheck": screen_steps.uncheck,
    "type_text": screen_steps.type_text,
    "press": screen_steps.press,
    "scroll": screen_steps.scroll,
    "scroll_to": screen_steps.scroll_to,
    "run": terminal_steps.run,
    "run_tests": terminal_steps.run_tests,
    "create_file": terminal_steps.create_file,
    "start_server": terminal_steps.start_server,
    "stop_server": terminal_steps.stop_server,
    "wait": other_steps.wait,
    "wait_for": other_steps.wait_for,
    "check_that": other_steps.check_that,
    "ask_question": other_steps.ask_question,
    "ask_approval": other_steps.ask_approval,
    "ask_input": other_steps.ask_input,
    "hand_over": other_steps.hand_over,
    "fail": other_steps.fail_run,
}
_IN_BROWSERS = frozenset({"open_url", "fill", "select_option"})
_ON_SCREENS = frozenset({"click", "check", "uncheck", "scroll_to"})
_IN_TERMINALS = frozenset({"run", "run_tests", "create_file", "start_server", "stop_server"})
_UNREPEATABLE = frozenset({"click", "type_text", "press", "run", "run_tests"})

# After this many answers "run again" the action is repeated even if the one before was interrupted as well: the answer
# to an interrupted repetition is delivered again, so one answer alone proves nothing.
MOST_AGAIN = 2


class PlaybookAgent:
    """Stateless: what it knows of a run is in the run's memory (progress.py)."""

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()

    def plan(self, context: Context) -> str:
        """The task as it was read; a person who wants another plan says so, and the task is shown again as it stands."""
        return parse(context.task).text

    async def next(self, context: Context, session: Session) -> Decision:
        return await _Turn(context, session, self.patience).decide()

    async def verify(self, context: Context, session: Session, claim: Finish) -> Verdict:
        """Evaluate every check of the run again; without any check the outcome is unknown."""
        checks = Progress.of(context.memory).checks
        if not claim.passed:
            return Verdict(False, "fail", claim.summary)
        if not checks:
            return Verdict(
                False, "unknown", "The task contains no check (check that ...), so nothing could be verified."
            )
        broken = [conditions.describe(c) for c in checks if not await conditions.holds(c, session)]
        if broken:
            return Verdict(False, "fail", f"No longer true: {'; '.join(broken)}.")
        return Verdict(True, "pass", f"Verified again: {'; '.join(map(conditions.describe, checks))}.")


class _Turn:
    """One decision: take in what people and the machine said, then carry out the current instruction."""

    def __init__(self, context: Context, session: Session, patience: Patience) -> None:
        self.context = context
        self.session = session
        self.patience = patience
        self.progress = Progress.of(deepcopy(context.memory))
        self.looking = Looking()
        # The action decided on now was proposed before and a person said no: it will not be carried out.
        self.denied = any(map(people.denies, context.messages))

    async def decide(self) -> Decision:
        notes = list(self._notes())
        self.progress.begun = True
        reply = self._answered() or await self._settled() or await self._instructed()
        return self._decision(reply, notes)

    def _notes(self) -> list[str]:
        context = self.context
        notes = [_received(m) for m in context.messages if m.redacted]
        given = [("instructions", context.instructions), ("a system prompt", context.system_prompt)]
        names = " and ".join(name for name, value in given if value)
        if names and not self.progress.begun:
            notes.append(f"This run came with {names}: people see that, the playbook agent does not obey it.")
        if context.interrupted:
            notes.append("The outcome of the last action is unknown, so I look again before going on.")
        if context.restarted:
            notes.append("The machine was restarted.")
        if self.denied:
            notes.append("A person said no to this action, so I leave the instruction out.")
        return notes

    def _current(self, ahead: int = 0) -> Instruction | None:
        instructions = self.progress.instructions(self.context.task)
        at = self.progress.at + ahead
        return instructions[at] if at < len(instructions) else None

    def _scene(self, instruction: Instruction) -> Scene:
        following = self._current(ahead=1)
        action = following.action if following else None
        return Scene(instruction, self.context, self.session, self.patience, self.progress.here, action, self.looking)

    # What people said

    def _answered(self) -> Reply | None:
        """Take in the answer to the open question; without one the instruction asks again."""
        progress, asked = self.progress, self.progress.asked
        progress.asked = None
        message = people.reply_to(asked["kind"], self.context.messages) if asked else None
        if asked is None or message is None:
            return None
        if asked["why"] == "waits":
            return self._told_what_to_type(people.answer_of(message, asked["labels"]))
        if asked["why"] == "by hand" and message.verdict != "reject":
            return None  # the command is looked at again
        if asked["why"] not in ("", "takeover", "by hand"):
            return self._resolved(people.answer_of(message, asked["labels"]))
        if message.verdict == "reject" and asked["kind"] != "question":
            return fail(str(message.redacted.get("reason") or "Rejected by a person."))
        progress.answers.append({"at": progress.at, "answer": message.redacted})
        progress.next()
        return None

    def _told_what_to_type(self, answer: people.Answer) -> Reply | None:
        """Words of a person's own are instructions that come first: the command still has the terminal."""
        instruction = self._current()
        if answer.custom:
            following = f"\n{instruction.text}" if instruction else ""
            self.progress.edits.append((self.progress.at, answer.custom + following))
            self.progress.here = {}
        elif answer.chosen == people.BY_HAND:
            return Reply(people.takeover("type what the command waits for, or end it"), "", done=False, why="by hand")
        elif answer.chosen != people.LOOK_AGAIN:
            return fail("Stopped by a person while a command waited for input.")
        return None

    def _resolved(self, answer: people.Answer) -> Reply | None:
        """Go on with an instruction that was stuck in the way a person chose."""
        progress, instruction = self.progress, self._current()
        text = short(instruction.text, 500) if instruction else ""
        if answer.custom:
            progress.edits.append((progress.at, answer.custom))
            progress.here = {}
        elif answer.chosen == people.SKIP:
            progress.skip()
        elif answer.chosen == people.STOP:
            return fail(f"Stopped by a person at: {text}")
        elif answer.chosen == people.TAKE_OVER:
            return Reply(people.takeover(text), f"A person does this by hand: {text}", done=False, why="takeover")
        elif answer.chosen == people.RETRY:
            progress.here = {}
        elif answer.chosen == people.AGAIN:
            progress.here["again"] = progress.here.get("again", 0) + 1
        else:
            progress.here["picked"] = answer.chosen
        return None

    # What the machine said

    async def _settled(self) -> Reply | None:
        """Judge the last action: it may have failed or be a command that still runs."""
        progress, last = self.progress, self.context.last
        if progress.acted and last and not last.success and not terminal_steps.ended_badly(last):
            stale = bool(last.data.get("stale")) and "stale" not in progress.acted
            progress.undo()
            if stale:
                progress.here = {"stale": True}  # the page was faster than we: look again, once
                return None
            return self._failed(last.error or "no reason given")
        progress.acted = None
        return await self._command_ended()

    def _failed(self, error: str) -> Reply:
        instruction = self._current()
        if instruction is None:
            return fail(f"The last action failed: {error}")
        message = f"This did not work: {short(instruction.text, 500)}. The reason: {short(error, 500)}"
        labels = [people.RETRY, people.SKIP, people.TAKE_OVER, people.STOP]
        return stuck(self._scene(instruction), "failed", message, labels)

    async def _command_ended(self) -> Reply | None:
        """See how the last command ended; a running program may be typed to, pressed and watched before that."""
        progress, last, instruction = self.progress, self.context.last, self._current()
        command = progress.command
        if command is None:
            return None
        last = None if command.get("running") else last
        unfinished = last is None or not last.data.get("finished", True)
        if unfinished and instruction and instruction.action in terminal_steps.INTERACTIVE:
            progress.command = {**command, "running": True}
            return None
        progress.command = None
        if last is None and self.context.interrupted:
            return None  # the shell's exit code may be that of the interrupted command
        problem = await terminal_steps.ended(command, last, self.session, self.patience)
        if isinstance(problem, terminal_steps.Waiting):
            progress.command = {**command, "running": True}
            return self._waits(problem)
        return fail(problem) if problem else None

    def _waits(self, what: str) -> Reply:
        """A command waits for somebody to type. Nobody else will: ask, or fail at once."""
        message = f"A command waits for input, and nobody types it. {what}. To type it, write for example: press q"
        if not self.context.may_ask:
            return fail(f"A command waits for input, and nobody types it. {what}")
        labels = [people.LOOK_AGAIN, people.BY_HAND, people.STOP]
        return Reply(people.trouble("waits", message, labels), message, done=False, why="waits")

    # The current instruction

    async def _instructed(self) -> Reply:
        instruction = self._current()
        if instruction is None or instruction.action in ("stop", "succeed"):
            return self._finished(instruction.params.get("summary") if instruction else None)
        lacking = lacks(instruction, self.context.machine_kind)
        if lacking:
            return fail(f"This needs a {lacking} machine: {short(instruction.text, 500)}")
        scene = self._scene(instruction)
        if self._outcome_unknown(instruction):
            running = "" if await self._at_rest() else " It may still be running."
            message = f"The outcome of this is unknown: {short(instruction.text, 500)}.{running} Run it again?"
            labels = [people.AGAIN, people.SKIP, people.TAKE_OVER, people.STOP]
            return stuck(scene, "outcome", message, labels)
        return await _STEPS[instruction.action](scene)

    async def _at_rest(self) -> bool:
        """Whether an interrupted command has ended: a person who is asked must find its whole outcome."""
        if self.context.machine_kind != "terminal":
            return True
        return await terminal_steps.at_rest(self.session, self.patience)

    def _outcome_unknown(self, instruction: Instruction) -> bool:
        believed = self.progress.here.get("again", 0) >= MOST_AGAIN
        return self.context.interrupted and not self.denied and not believed and instruction.action in _UNREPEATABLE

    def _finished(self, summary: str | None) -> Reply:
        done, skipped = self.progress.done, self.progress.skipped
        left_out = f", {skipped} skipped" if skipped else ""
        done_text = f"Done: {done} instruction{'' if done == 1 else 's'}{left_out}."
        return other_steps.finished(True, summary or done_text)

    def _decision(self, reply: Reply, notes: list[str]) -> Decision:
        """Note down what holds once the move is complete."""
        progress = self.progress
        total, at = len(progress.instructions(self.context.task)), progress.at
        if isinstance(reply.move, Act) and self.denied:
            progress.skip()
            return Decision(
                reply.move, progress.memory(), "\n".join([*notes, reply.text]), scrolled=self.looking.scrolled
            )
        if isinstance(reply.move, Act):
            progress.acted = {"at": at, "done": progress.done, **({"stale": 1} if "stale" in progress.here else {})}
        if isinstance(reply.move, Ask):
            labels = [option["label"] for question in reply.move.questions for option in question["options"]]
            progress.asked = {"kind": reply.move.kind, "why": reply.why, "labels": labels}
        progress.here = {**progress.here, **reply.here}
        if "command" in reply.lasting:
            progress.command = reply.lasting["command"]
        if "check" in reply.lasting:
            progress.checks.append(reply.lasting["check"])
        if reply.done:
            progress.next()
        place = f"Instruction {at + 1} of {total}: " if isinstance(reply.move, Act) else ""
        return Decision(
            reply.move, progress.memory(), "\n".join([*notes, place + reply.text]), scrolled=self.looking.scrolled
        )


def lacks(instruction: Instruction, kind: str) -> str | None:
    """The kind of machine that the instruction needs and this one is not."""
    action = instruction.action
    condition = instruction.params.get("condition", {}).get("is")
    if action in _IN_BROWSERS and kind != "browser":
        return "browser"
    if kind == "terminal" and (action in _ON_SCREENS or condition in conditions.OF_BROWSERS):
        return "browser"
    return "terminal" if action in _IN_TERMINALS and kind not in ("terminal", "simulated") else None


def _received(message: Message) -> str:
    return "Received: " + json.dumps(message.redacted, separators=(",", ":"), ensure_ascii=False)
