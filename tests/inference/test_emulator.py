"""The emulator itself: which turn is due, what it counts and writes down, and that it runs as a process."""

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from inference.errors import ModelBusy
from inference.specs import Spec
from inference.wires.anthropic import AnthropicWire
from runs.agents.model import replay
from tests import needs_anthropic, needs_openai  # noqa: F401 - skips this file without the SDK
from tests.emulator import story
from tests.emulator.server import Emulator, in_thread
from tests.emulator.story import Fault, Story, Turn
from tests.inference.conversing import KEY, Conversation, screen, spec

TURNS = [Turn(text="none"), Turn(text="one"), Turn(text="two")]


def text_due(opening: str, answers: int, kind: str = "turns", default: str = "long") -> str:
    return story.due(
        {"long": Story(TURNS), "other": Story([Turn(text="else")])}, default, opening, answers, kind
    ).turn.text


def test_the_turn_is_derived_from_the_request() -> None:
    assert [text_due("Do it", answers) for answers in range(3)] == ["none", "one", "two"]
    assert text_due("Do it story:other please", 0) == "else"
    assert text_due("story:other … story:long@2", 0) == "two"


def test_a_story_that_is_over_or_unknown_says_so() -> None:
    for opening, answers, default in (("story:long", 3, ""), ("story:lost", 0, ""), ("Do it", 0, "")):
        with pytest.raises(story.OverError):
            text_due(opening, answers, default=default)


def test_requests_for_json_or_words_have_their_own_turns_and_repeat_the_last() -> None:
    assert text_due("story:other", 7, "words") == "This is what happened so far."
    assert json.loads(text_due("story:other", 7, "schema"))["verdict"] == "pass"


@pytest.mark.parametrize(("unknown", "due"), [("", ["next"]), ("again", ["a", "b"]), ("seen", ["b"])])
def test_a_model_wants_again_what_it_is_told_was_not_done(unknown: str, due: list[str]) -> None:
    batch = Turn([(name, {}) for name in ("first", "a", "b")])
    stories = {"one": Story([batch, Turn([("next", {})])], unknown=unknown)}
    told = [f"first: Done. a: {replay._OUTCOME_UNKNOWN} b: Not executed: {replay.BY_FAILURE}"]
    turn = story.due(stories, "one", "Do it", 1, told=told).turn
    assert [name for name, _ in turn.wants] == due


def test_stories_are_read_from_json(tmp_path: Path) -> None:
    file = tmp_path / "stories.json"
    turn = {
        "wants": [["click", {"x": 1, "y": 2}]],
        "fault": {"status": 429, "headers": {"retry-after": "9"}, "times": 2},
    }
    file.write_text(json.dumps({"short": [turn], "long": {"turns": [turn], "words": [{"text": "So far."}]}}))
    stories = story.load(file)
    fault = Fault(status=429, headers={"retry-after": "9"}, times=2)
    assert stories["short"].turns == [Turn((("click", {"x": 1, "y": 2}),), fault=fault)]
    assert stories["long"].words == [Turn(text="So far.")]


async def test_a_fault_happens_as_often_as_it_says_and_is_then_over() -> None:
    turn = Turn(text="At last.", fault=Fault(status=529, times=2))
    async with Emulator({"busy": [turn]}, wires=("anthropic",)) as emulator:
        conversation = talk(emulator)
        for _ in range(2):
            with pytest.raises(Exception, match="overloaded"):
                await conversation.think()
        assert (await conversation.think()).text == "At last."
        assert emulator.requests["anthropic"] == 3


async def test_bodies_and_log_hold_stand_ins_for_pictures_and_no_key(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with Emulator({"one": [Turn(text="Yes.")]}, wires=("anthropic",), log=log) as emulator:
        await talk(emulator).think()
        [line] = [json.loads(line) for line in log.read_text().splitlines()]
        assert (line["wire"], line["status"], line["body"]) == ("anthropic", 200, emulator.bodies[0].json)
        assert KEY not in log.read_text()
        [image] = [block for block in line["body"]["messages"][0]["content"] if block["type"] == "image"]
        picture = emulator.picture(image["source"]["data"])
        assert picture
        assert (picture.sha, picture.width, picture.height) == (screen(1), 1280, 800)


async def test_what_is_no_json_is_refused() -> None:
    async with Emulator({"one": TURNS}, wires=("anthropic", "openai")) as emulator:
        for path in ("/anthropic/v1/messages", "/openai/v1/responses"):
            reader, writer = await asyncio.open_connection("127.0.0.1", emulator.port)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + b'{"a":')
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 400")


async def test_a_fault_of_the_emulator_itself_is_not_taken_for_a_busy_model() -> None:
    emulator = Emulator({"one": [Turn(raw=[{"type": "no such block"}])]}, wires=("anthropic",))
    with pytest.raises(AssertionError, match="The emulator failed"):  # noqa: PT012
        async with emulator:
            with contextlib.suppress(ModelBusy):
                await talk(emulator).think()
    assert emulator.broken


def test_in_a_thread_for_tests_without_a_loop() -> None:
    with in_thread(Emulator({"one": [Turn(text="Yes.")]}, wires=("anthropic",))) as emulator:
        assert asyncio.run(talk(emulator).think()).text == "Yes."
        assert emulator.requests["anthropic"] == 1


def talk(emulator: Emulator) -> Conversation:
    chosen = spec(emulator, "anthropic")
    return Conversation(lambda: AnthropicWire(chosen), "Refund order 10231")


def test_as_a_process_it_serves_whoever_comes_until_it_is_ended(tmp_path: Path) -> None:
    stories, log = tmp_path / "stories.json", tmp_path / "log"
    stories.write_text(json.dumps({"one": [{"text": "Yes."}]}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command: list[Any] = [
        sys.executable,
        "-m",
        "tests.emulator",
        "--port",
        port,
        "--stories",
        stories,
        "--log",
        log,
        "--wires",
        "anthropic",
    ]
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            name, url = process.stdout.readline().split()
            assert (name, url) == ("anthropic", f"http://127.0.0.1:{port}/anthropic")
            chosen = Spec("eye", "anthropic", "model-1", base_url=url, key=KEY)
            thought = asyncio.run(Conversation(lambda: AnthropicWire(chosen), "Refund").think())
            assert thought.text == "Yes."
        finally:
            process.terminate()
    assert len(log.read_text().splitlines()) == 1
