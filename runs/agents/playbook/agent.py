"""The playbook agent: reads a task as instructions and carries them out one by one, asking when it cannot be sure."""

import json
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from machines.drivers.base import Session
from runs.agents.base import Act, Ask, Context, Decision, Finish, Message, Plan, Verdict
from runs.agents.playbook import person_questions, unread
from runs.agents.playbook.agent_memory import BEFORE, SKIPPED, Progress
from runs.agents.playbook.checks import leaving, verifier
from runs.agents.playbook.checks.machine_conditions import OF_BROWSERS
from runs.agents.playbook.instructions import other_steps, remembering, screen_steps, terminal_steps
from runs.agents.playbook.instructions.value_filling import UnknownValueError, with_values
from runs.agents.playbook.language.bound import Handles
from runs.agents.playbook.language.plan import REFUSED, Instruction, parse, unread_places
from runs.agents.playbook.scene import Looking, Patience, Reply, Scene, fail, stuck
from runs.agents.playbook.screen.grounding import short

_STEPS: dict[str, Callable[[Scene], Awaitable[Reply]]] = {
    REFUSED: other_steps.refused,
    "open_url": screen_steps.open_url,
    "click": screen_steps.click,
    "fill": screen_steps.fill,
    "select_option": screen_steps.select_option,
    "clear": screen_steps.clear,
    "upload": screen_steps.upload,
    "hover": screen_steps.hover,
    "drag": screen_steps.drag,
    "go_back": screen_steps.go_back,
    "reload": screen_steps.reload,
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
    "remember": remembering.remember,
    "remember_line": remembering.remember_line,
    "remember_output": remembering.remember_output,
    "ask_question": other_steps.ask_question,
    "ask_approval": other_steps.ask_approval,
    "ask_input": other_steps.ask_input,
    "hand_over": other_steps.hand_over,
    "fail": other_steps.fail_run,
}
_IN_BROWSERS = frozenset({"open_url", "go_back", "reload", "fill", "clear", "select_option", "upload"})
_ON_SCREENS = frozenset({"click", "hover", "drag", "check", "uncheck", "scroll_to"})
_IN_TERMINALS = frozenset({"run", "run_tests", "create_file", "start_server", "stop_server", "remember_output"})
_UNREPEATABLE = frozenset({"click", "drag", "type_text", "press", "upload", "go_back", "run", "run_tests"})

# After this many answers "run again" the action is repeated even if the one before was interrupted as well: the answer
# to an interrupted repetition is delivered again, so one answer alone proves nothing.
MOST_AGAIN = 2


class PlaybookAgent:
    """Stateless: what it knows of a run is in the run's memory (progress.py)."""

    thinks = False

    def __init__(self, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()

    async def plan(self, context: Context, session: Session) -> Plan:
        """The task as it was read; a person who wants another plan says so, and the task is shown again as it stands."""
        return Plan(parse(context.task, context.bound).text, context.memory)

    async def next(self, context: Context, session: Session) -> Decision:
        return await _Turn(context, session, self.patience).decide()

    async def verify(self, context: Context, session: Session, claim: Finish) -> Verdict:
        """Look again at everything that can still be seen; when nothing can, the outcome is unknown."""
        return await verifier.verify(context, session, claim, self.patience)


class _Turn:
    """One decision: take in what people and the machine said, then carry out the current instruction."""

    def __init__(self, context: Context, session: Session, patience: Patience) -> None:
        self.context = context
        self.session = session
        self.patience = patience
        self.progress = Progress.of(deepcopy(context.memory))
        self.looking = Looking()
        # The action decided on now was proposed before and a person said no: it will not be carried out.
        self.denied = any(map(person_questions.denies, context.messages))

    async def decide(self) -> Decision:
        notes = list(self._notes())
        self.progress.begun = True
        reply = self._answered() or await self._settled() or self._unread() or await self._instructed()
        return self._decision(reply, notes)

    def _notes(self) -> list[str]:
        context = self.context
        notes = [_received(m) for m in context.messages if m.redacted]
        settings = [("instructions", context.instructions), ("a system prompt", context.system_prompt)]
        names = " and ".join(name for name, value in settings if value)
        if names and not self.progress.begun:
            notes.append(f"This run came with {names}: people see that, the playbook agent does not obey it.")
        if context.interrupted:
            notes.append("The outcome of the last action is unknown, so I look again before going on.")
        if context.restarted:
            notes.append("The machine was restarted.")
        if self.progress.acted and context.last and context.last.data.get("note"):
            notes.append(str(context.last.data["note"]))
        if self.denied:
            notes.append("A person said no to this action, so I leave the instruction out.")
        return notes

    def _instructions(self) -> list[Instruction]:
        return self.progress.instructions(self.context.task, self.context.bound)

    def _current(self, ahead: int = 0) -> Instruction | None:
        instructions = self._instructions()
        at = self.progress.at + ahead
        return instructions[at] if at < len(instructions) else None

    def _scene(self, instruction: Instruction) -> Scene:
        following = self._current(ahead=1)
        action = following.action if following else None
        return Scene(
            instruction,
            self.context,
            self.session,
            self.patience,
            self.progress.here,
            action,
            self.looking,
            self.progress.output,
        )

    # What people said

    def _answered(self) -> Reply | None:
        """Take in the answer to the open question; without one the instruction asks again."""
        progress, question = self.progress, self.progress.asked
        progress.asked = None
        message = person_questions.reply_to(question["kind"], self.context.messages) if question else None
        if question is None or message is None:
            return None
        if message.verdict == "reject" and question["kind"] != "question":
            return fail(str(message.redacted.get("reason") or "Rejected by a person."))
        if question["why"] not in ("", "takeover"):
            return self._take_in(question, message)
        progress.answers.append({"at": progress.at, "answer": message.redacted})
        self._keep_answer(message)
        progress.next()
        return None

    def _take_in(self, question: dict[str, Any], message: Message) -> Reply | None:
        """The answer to a question of our own: how to go on."""
        if question["why"] == "task":
            return unread.done_by_hand(self.context.task, message)
        if question["why"] == "sentences":
            return unread.take_in(self.progress, question, message, self._instructions())
        if question["why"] == "by hand":
            return None  # the command is looked at again
        answer = person_questions.answer_of(message, question["labels"])
        return self._type_answer(answer) if question["why"] == "waits" else self._resolved(answer)

    def _keep_answer(self, message: Message) -> None:
        """What a person gave gets its name: later instructions can use it."""
        instruction = self._current()
        if instruction is not None and instruction.action == "ask_input":
            name = instruction.shown_params["value"]
            if value := person_questions.value_of(message, name):
                self.progress.given[name] = value
        elif instruction is not None and instruction.action == "ask_question" and message.verdict == "answer":
            self.progress.given["answer"] = ["text", person_questions.answer_text(message)]

    def _type_answer(self, answer: person_questions.Answer) -> Reply | None:
        """Words of a person's own are instructions that come first: the command still has the terminal."""
        if answer.custom:
            self.progress.edits.append([self.progress.at, answer.custom, BEFORE])
            self.progress.here = {}
        elif answer.chosen == person_questions.BY_HAND:
            return Reply(
                person_questions.takeover("type what the command waits for, or end it"), "", done=False, why="by hand"
            )
        elif answer.chosen != person_questions.LOOK_AGAIN:
            return fail("Stopped by a person while a command waited for input.")
        return None

    def _resolved(self, answer: person_questions.Answer) -> Reply | None:
        """Go on with an instruction that was stuck in the way a person chose."""
        progress, instruction = self.progress, self._current()
        text = short(instruction.text, 500) if instruction else ""
        if answer.custom:
            progress.edits.append([progress.at, answer.custom])
            progress.here = {}
        elif answer.chosen == person_questions.SKIP:
            progress.skip()
        elif answer.chosen == person_questions.STOP:
            return fail(f"Stopped by a person at: {text}")
        elif answer.chosen == person_questions.TAKE_OVER:
            return Reply(
                person_questions.takeover(text), f"A person does this by hand: {text}", done=False, why="takeover"
            )
        elif answer.chosen == person_questions.RETRY:
            progress.here = {}
        elif answer.chosen == person_questions.AGAIN:
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
        await self._left_behind(progress.acted)
        if progress.acted and progress.command:
            progress.output = last.data.get("output") if last and last.data.get("finished", True) else None
        progress.acted = None
        return await self._command_ended()

    async def _left_behind(self, done: dict[str, Any] | None) -> None:
        """An instruction has acted: what it changed is noted down, and what it left becomes a check."""
        instructions = self._instructions() if done is not None and self.context.engine == "v4" else []
        if done is None or done["at"] >= len(instructions):
            return
        instruction = replace(instructions[done["at"]], params=done.get("params", {}))
        self.progress.left = leaving.kept(self.progress.left, instruction)
        if self.progress.command is None:  # what a command leaves is there when it has ended
            await self._add_check(done.get("left"))

    async def _add_check(self, draft: dict[str, Any] | None) -> None:
        if draft is not None and (check := await leaving.settled(draft, self.session, self.patience)):
            self.progress.left.append(check)

    def _failed(self, error: str) -> Reply:
        instruction = self._current()
        if instruction is None:
            return fail(f"The last action failed: {error}")
        message = f"This did not work: {short(instruction.text, 500)}. The reason: {short(error, 500)}"
        labels = [person_questions.RETRY, person_questions.SKIP, person_questions.TAKE_OVER, person_questions.STOP]
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
        if problem:
            return fail(problem)
        await self._add_check(command.get("left"))
        return None

    def _waits(self, what: str) -> Reply:
        """A command waits for somebody to type. Nobody else will: ask, or fail at once."""
        message = f"A command waits for input, and nobody types it. {what}. To type it, write for example: press q"
        if not self.context.may_ask:
            return fail(f"A command waits for input, and nobody types it. {what}")
        labels = [person_questions.LOOK_AGAIN, person_questions.BY_HAND, person_questions.STOP]
        return Reply(person_questions.trouble("waits", message, labels), message, done=False, why="waits")

    # The current instruction

    def _unread(self) -> Reply | None:
        """Nothing is done before everything has been understood that would be come to."""
        instructions, may_ask = self._instructions(), self.context.may_ask
        plan = parse(self.context.task, self.context.bound)
        if not plan.readable and not self.progress.edits:
            return unread.whole_task(may_ask)
        for instruction in instructions[self.progress.at :]:
            if instruction.action == REFUSED:
                return fail(other_steps.refusal(instruction))
        places = unread_places(instructions)
        return unread.ask(instructions, places, may_ask) if places else None

    async def _instructed(self) -> Reply:
        while (instruction := self._current()) and instruction.action == SKIPPED:
            self.progress.skip()
        if instruction is None or instruction.action in ("stop", "succeed"):
            output = remembering.output_of(self.progress.remembered, self.context.output_schema)
            return other_steps.finished(self.progress, self._summary(instruction), output)
        try:
            instruction = with_values(instruction, self.progress.given)
        except UnknownValueError as error:
            return fail(str(error))
        lacking = lacks(instruction, self.context.machine_kind)
        if lacking:
            return fail(f"This needs a {lacking} machine: {short(instruction.text, 500)}")
        return await self._carried_out(instruction)

    def _summary(self, instruction: Instruction | None) -> str | None:
        if instruction is None or "summary" not in instruction.params:
            return None
        try:
            return str(with_values(instruction, self.progress.given).params["summary"])
        except UnknownValueError:
            return None

    async def _carried_out(self, instruction: Instruction) -> Reply:
        scene = self._scene(instruction)
        if self._outcome_unknown(instruction):
            running = "" if await self._at_rest() else " It may still be running."
            message = f"The outcome of this is unknown: {short(instruction.text, 500)}.{running} Run it again?"
            labels = [person_questions.AGAIN, person_questions.SKIP, person_questions.TAKE_OVER, person_questions.STOP]
            return stuck(scene, "outcome", message, labels)
        step = _STEPS.get(instruction.action)
        if step is None:
            return fail(
                f"This instruction is understood, but cannot be carried out yet: {short(instruction.text, 500)}"
            )
        draft = await self._draft(instruction)
        reply = await step(scene)
        if not isinstance(reply.move, Act):
            return reply
        params = reply.move.action.params
        secrets = {key: text.pieces for key, text in params.items() if isinstance(text, Handles)}
        edited = self._edited()
        draft = draft if edited is None else leaving.edited(draft, edited)
        acted = {"left": draft, "params": instruction.params | (edited or {})} if reply.done else {}
        return replace(reply, move=replace(reply.move, secrets=secrets), facts=acted)

    def _edited(self) -> dict[str, Any] | None:
        """The parameters that a person gave the action in place of those that were proposed."""
        edits = (m.payload.get("edited_action") for m in self.context.messages if m.kind == "tool")
        return next((edit["params"] for edit in edits if edit), None)

    async def _draft(self, instruction: Instruction) -> dict[str, Any] | None:
        """What the instruction will leave behind, for the verifier of engine v4."""
        if self.context.engine != "v4":
            return None
        ports = (await self.session.state()).ports if instruction.action == "stop_server" else ()
        return leaving.draft(instruction, ports)

    async def _at_rest(self) -> bool:
        """Whether an interrupted command has ended: a person who is asked must find its whole outcome."""
        if self.context.machine_kind != "terminal":
            return True
        return await terminal_steps.at_rest(self.session, self.patience)

    def _outcome_unknown(self, instruction: Instruction) -> bool:
        believed = self.progress.here.get("again", 0) >= MOST_AGAIN
        return self.context.interrupted and not self.denied and not believed and instruction.action in _UNREPEATABLE

    def _decision(self, reply: Reply, notes: list[str]) -> Decision:
        """Note down what holds once the move is complete."""
        progress = self.progress
        total, at = len(self._instructions()), progress.at
        if isinstance(reply.move, Act) and self.denied:
            progress.skip()
            return Decision(
                reply.move, progress.memory(), "\n".join([*notes, reply.text]), scrolled=self.looking.scrolled
            )
        if isinstance(reply.move, Act):
            stale = {"stale": 1} if "stale" in progress.here else {}
            progress.acted = {"at": at, "done": progress.done, **stale, **reply.facts}
        if isinstance(reply.move, Ask):
            labels = [option["label"] for question in reply.move.questions for option in question["options"]]
            progress.asked = {"kind": reply.move.kind, "why": reply.why, "labels": labels, **reply.facts}
        progress.here = {**progress.here, **reply.here}
        if "command" in reply.lasting:
            progress.command = {**reply.lasting["command"], "left": reply.facts.get("left")}
        if "check" in reply.lasting:
            progress.checks.append(reply.lasting["check"])
        for name, value in reply.lasting.get("remembered", {}).items():
            progress.remembered[name], progress.given[name] = value, ["text", value]
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
    if kind == "terminal" and (action in _ON_SCREENS or condition in OF_BROWSERS):
        return "browser"
    if (
        kind == "terminal"
        and action == "remember"
        and ("label" not in instruction.params or "role" in instruction.params)
    ):
        return "browser"
    return "terminal" if action in _IN_TERMINALS and kind not in ("terminal", "simulated") else None


def _received(message: Message) -> str:
    return "Received: " + json.dumps(message.redacted, separators=(",", ":"), ensure_ascii=False)
