"""The playbook agent at a terminal: it types commands and looks at how they ended."""

from dataclasses import replace
from typing import Any

import pytest

from machines.drivers.base import Action, ActResult, MachineState
from runs.agents.base import Act, Ask, Finish, Message
from runs.agents.playbook import PlaybookAgent
from runs.agents.playbook.scene import Patience
from tests.agents.machines import FakeSession, Player, answered


class Terminal(Player):
    """A terminal whose commands end with the given codes; None = still running when the action returns."""

    def __init__(self, task: str, *codes: int | None, **changes: Any) -> None:
        self.codes = list(codes)
        super().__init__(task, FakeSession(react=self.react), machine_kind="terminal", **changes)

    def react(self, session: FakeSession, action: Action) -> ActResult:
        if action.name != "run_line":
            return ActResult(True)
        code = self.codes.pop(0) if self.codes else 0
        session.now = replace(session.now, idle=code is not None, exit_code=code)
        return ActResult(not code, data={"exit_code": code, "finished": code is not None})

    @property
    def typed(self) -> list[str]:
        return [params["command"] for name, params in self.actions if name == "run_line"]


async def test_the_first_seed_task() -> None:
    player = Terminal(
        "Create a file named approval.txt, ask for approval to finish, "
        "then check that the file approval.txt exists and stop"
    )
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert (ask.kind, ask.message) == ("approval", "Approval is needed to finish.")
    assert player.typed == ["touch -- approval.txt && test -f approval.txt"]
    player.session.files["approval.txt"] = b""
    end = await player.play(Message("approval", "approve", {"note": "fine"}, {"note": "fine"}))
    assert end == Finish(True, "Done: 3 instructions.")
    assert [name for name, _ in player.actions] == ["run_line", "screenshot"]
    assert player.said[2].startswith('Received: {"note":"fine"}\n')


async def test_the_second_seed_task() -> None:
    player = Terminal("Start the web server and wait for it to listen on port 8080")
    decision = await player.next()
    assert isinstance(decision.move, Act)
    assert "python3 -m http.server 8080" in decision.move.action.params["command"]
    player.session.react = lambda session, action: setattr(session, "now", MachineState(ports=(8080,)))
    assert await player.play() == Finish(True, "Done: 2 instructions.")


async def test_a_server_that_listens_already_is_left_alone() -> None:
    player = Terminal("start the web server on port 8080")
    player.session.now = MachineState(ports=(8080,))
    assert isinstance(await player.play(), Finish)
    assert player.actions == [("screenshot", {})]


@pytest.mark.parametrize(
    ("task", "typed"),
    [
        ("run `echo 'a'; ls`", "echo 'a'; ls"),
        ("create a file named 'a b'", "touch -- 'a b' && test -f 'a b'"),
        ("create a file named ~/x.txt", "touch -- ~/x.txt && test -f ~/x.txt"),
        ("create a file named -f", "touch -- ./-f && test -f ./-f"),
        ('create a file named a with the text "it\'s"', "printf %s 'it'\"'\"'s' > a"),
        ('create a file named a with the text "x\ty\nz\\"', "printf %b 'x\\ty\\nz\\\\' > a"),
        ("stop the web server", "http.server"),
        ("run the test suite", "./run-tests"),
    ],
)
async def test_sentences_become_one_line_at_the_prompt(task: str, typed: str) -> None:
    player = Terminal(task)
    assert await player.play() == Finish(True, "Done: 1 instruction.")
    (line,) = player.typed
    assert typed in line
    assert "\n" not in line
    assert "!" not in line.replace("$!", "")


@pytest.mark.parametrize("task", ["run `false`", "create a file named /x/y", "run the test suite"])
async def test_a_command_that_fails_ends_the_run(task: str) -> None:
    player = Terminal(f"{task} and run `ls`", 2)
    end = await player.play()
    assert end == Finish(False, f"Ended with exit code 2: {task}")
    assert len(player.typed) == 1


async def test_the_last_command_is_judged_too() -> None:
    assert await Terminal("run `false`", 1).play() == Finish(False, "Ended with exit code 1: run `false`")


async def test_a_command_that_takes_long_is_waited_for() -> None:
    player = Terminal("run `sleep 60` and run `ls`", None)
    first = await player.next()
    assert isinstance(first.move, Act)
    player.context = replace(
        player.context,
        memory=first.memory,
        step_index=2,
        last=ActResult(True, data={"exit_code": None, "finished": False}),
    )
    states = iter([MachineState(idle=False), MachineState(idle=False), MachineState(idle=True, exit_code=0)])
    last = MachineState(idle=True, exit_code=0)

    async def state() -> MachineState:
        return next(states, last)

    player.session.state = state  # type: ignore[method-assign]
    player.codes = []
    assert await player.play() == Finish(True, "Done: 2 instructions.")


async def test_a_command_that_never_ends_fails_the_run() -> None:
    end = await Terminal("run `sleep 600` and run `ls`", None).play()
    assert end == Finish(False, "Not finished after 0.02 s: run `sleep 600`")


async def test_a_running_program_can_be_watched_and_answered() -> None:
    player = Terminal('run `su`, wait for "Password:", type "x", press Enter and run `ls`', None)
    player.session.page = "Password: "

    def react(session: FakeSession, action: Action) -> ActResult:
        if action.name == "key_press":
            session.now = MachineState(idle=True, exit_code=0)
        return player.react(session, action)

    player.session.react = react
    assert await player.play() == Finish(True, "Done: 5 instructions.")
    assert [name for name, _ in player.actions] == ["run_line", "wait", "type_text", "key_press", "run_line"]


async def test_a_command_that_waits_for_input_is_asked_about_at_once() -> None:
    player = Terminal("run `git log` and run `git status`")

    def react(session: FakeSession, action: Action) -> ActResult:
        if action.name == "key_press":
            session.now = MachineState(idle=True, exit_code=0)
            return ActResult(True)
        if action.params["command"] == "git log":
            session.now = MachineState(idle=False, waits="less waits for keys")
            return ActResult(True, data={"exit_code": None, "finished": False, "waits": "less waits for keys"})
        return player.react(session, action)

    player.session.react = react
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert "less waits for keys: run `git log`" in ask.message
    assert isinstance(await player.play(answered("Look again")), Ask)
    by_hand = await player.play(answered("Type it by hand"))
    assert isinstance(by_hand, Ask)
    assert by_hand.kind == "takeover"
    assert isinstance(await player.play(Message("takeover", "approve", {}, {})), Ask)  # nobody typed anything
    assert await player.play(answered("press q", custom=True)) == Finish(True, "Done: 3 instructions.")
    assert player.typed == ["git log", "git status"]


async def test_a_run_that_may_not_ask_fails_with_what_the_command_waits_for() -> None:
    player = Terminal("run `git log`", may_ask=False)
    player.session.react = lambda session, action: ActResult(
        True, data={"exit_code": None, "finished": False, "waits": "less waits for keys"}
    )
    end = await player.play()
    assert isinstance(end, Finish)
    assert (end.passed, "less waits for keys: run `git log`" in end.summary) == (False, True)


async def test_a_command_that_asks_something_late_is_not_waited_for_in_vain() -> None:
    player = Terminal("run `install`", None)
    first = await player.next()
    player.context = replace(
        player.context, memory=first.memory, step_index=2, last=ActResult(True, data={"finished": False})
    )
    player.session.now = MachineState(idle=False, waits="apt waits for a line of input")
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert "apt waits for a line of input" in ask.message


async def test_a_line_that_was_not_run_is_asked_about() -> None:
    player = Terminal("run `ls`")
    player.session.react = lambda session, action: ActResult(
        False, "Something else stands at the prompt.", {"changed": True}
    )
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert "Something else stands at the prompt." in ask.message


async def test_a_busy_terminal_is_not_typed_into_and_a_person_says_what_to_do() -> None:
    player = Terminal("run `ls`")
    player.session.now = MachineState(idle=False)
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert "Something else still runs in the terminal" in ask.message
    assert "write: press Ctrl+C, then run `ls`" in ask.message
    assert [o["label"] for o in ask.questions[0]["options"]] == ["Retry", "Skip", "Take over", "Stop"]
    assert isinstance(await player.play(answered("Retry")), Ask)
    assert not player.actions

    def react(session: FakeSession, action: Action) -> ActResult:
        session.now = MachineState(idle=True)
        return player.react(session, action)

    player.session.react = react
    end = await player.play(answered("press Ctrl+C, then run `ls`", custom=True))
    assert end == Finish(True, "Done: 2 instructions.")
    assert [name for name, _ in player.actions] == ["key_combo", "run_line"]


async def test_a_program_that_waits_for_somebody_is_not_waited_for() -> None:
    player = Terminal("run `ls`", may_ask=False, agent=PlaybookAgent(Patience(poll=0.001, target=60, command=600)))
    player.session.now = MachineState(idle=False, waits="cat waits for a line of input")
    end = await player.play()
    assert isinstance(end, Finish)
    assert "cat waits for a line of input" in end.summary


async def test_a_run_that_may_not_ask_fails_at_a_busy_terminal() -> None:
    player = Terminal("run `ls`", may_ask=False)
    player.session.now = MachineState(idle=False)
    end = await player.play()
    assert isinstance(end, Finish)
    assert not end.passed
    assert "Something else still runs in the terminal" in end.summary
    assert not player.actions


@pytest.mark.parametrize(
    "task", ["open a.test", 'click "A"', 'fill "A" with "b"', 'check that the URL contains "a"', 'scroll to "x"']
)
async def test_a_terminal_is_no_browser(task: str) -> None:
    assert await Terminal(task).play() == Finish(False, f"This needs a browser machine: {task}")


# Crashes: the action was sent, its outcome is unknown


@pytest.mark.parametrize("task", ["run `pay`", "run the test suite", 'type "x"', "press Enter"])
async def test_an_interrupted_action_is_never_repeated_blindly(task: str) -> None:
    player = Terminal(task)
    ask = await player.play(interrupted=True)
    assert isinstance(ask, Ask)
    assert "outcome" in ask.message
    assert "look again" in player.said[0]
    assert [o["label"] for o in ask.questions[0]["options"]] == ["Run again", "Skip", "Take over", "Stop"]
    assert not player.actions


def again() -> Message:
    payload = {"answers": {"outcome": {"value": "Run again", "custom": False}}}
    return Message("question", "answer", payload, payload)


async def test_it_is_repeated_when_a_person_says_so() -> None:
    player = Terminal("run `pay`")
    await player.play(interrupted=True)
    assert await player.play(again()) == Finish(True, "Done: 1 instruction.")
    assert player.typed == ["pay"]


async def test_an_answer_that_is_delivered_again_after_a_second_crash_proves_nothing() -> None:
    player = Terminal("run `pay`")
    await player.play(interrupted=True)
    assert isinstance((await player.next(again())).move, Act)
    assert isinstance(await player.play(again(), interrupted=True), Ask)
    assert isinstance((await player.next(again(), interrupted=True)).move, Act)


async def test_an_interrupted_run_that_may_not_ask_fails() -> None:
    end = await Terminal("run `pay`", may_ask=False).play(interrupted=True)
    assert end == Finish(False, "The outcome of this is unknown: run `pay`. Run it again?")


@pytest.mark.parametrize(("content", "expected"), [(b"hi", "screenshot"), (b"other", "run_line"), (None, "run_line")])
async def test_an_interrupted_file_is_looked_for(content: bytes | None, expected: str) -> None:
    player = Terminal('create a file named a with the text "hi"')
    if content is not None:
        player.session.files["a"] = content
    decision = await player.next(interrupted=True)
    assert isinstance(decision.move, Act)
    assert decision.move.action.name == expected


async def test_repeatable_instructions_go_on_after_a_crash() -> None:
    for task in ("start the web server", "stop the web server", "wait 1 s", "scroll down"):
        assert isinstance((await Terminal(task).next(interrupted=True)).move, Act)


async def test_a_restart_is_mentioned() -> None:
    assert "The machine was restarted." in (await Terminal("press Enter").next(restarted=True)).text
