"""Asking people by a tool, and what the model is told of their answers. A secret is only ever a handle."""

import json
from typing import Any

import pytest

from runs.agents.base import Act, Ask, Finish, Message
from tests.agents.model.fakes import Run, Vendor, act, finish, message, tool
from web.json_schema import validation


def question(kind: str, **more: Any) -> Any:
    return tool("ask_human", question="What now?", kind=kind, **more)


@pytest.mark.parametrize(
    ("kind", "reply", "ok", "text"),
    [
        ("approval", message("approval", "approve"), True, "A person approved this."),
        ("approval", message("approval", "approve", note="ok"), True, "A person approved this. They say: ok"),
        ("approval", message("approval", "reject", reason="no"), False, "The person declined. They say: no"),
        ("takeover", message("takeover", "approve", note="signed in"), True,
         "A person did it by hand and gave the machine back. They say: signed in"),
        ("input", message("input", "submit", values={"a": "1", "b": "2"}), True, "The person answered: a: 1; b: 2"),
        ("question", message("question", "answer", answers={"answer": {"value": "B", "custom": False}}), True,
         "The person answered: B"),
        ("question", message("question", "answer", answers={"answer": {"value": "B", "custom": False}}, context={"size": "L"}),
         True, "The person answered: B; size: L"),
    ],
)  # fmt: skip
async def test_each_kind_of_question_gets_its_answer(kind: str, reply: Message, ok: bool, text: str) -> None:
    run = Run(Vendor([question(kind)], [finish()]))
    ask = run.asked(await run.decide())
    assert (ask.kind, ask.message) == (kind, "What now?")
    assert isinstance(await run.play(reply), Finish)
    assert [(r["ok"], r["text"]) for r in run.vendor.results] == [(ok, text)]


async def test_values_are_asked_for_by_a_schema_that_hides_what_is_secret() -> None:
    fields = [{"name": "user"}, {"name": "code", "secret": True}, {"name": "Shop password"}]
    ask = await Run(Vendor([question("input", fields=fields)])).play()
    assert isinstance(ask, Ask)
    schema = ask.input_schema
    assert schema is not None
    assert validation.problem(schema) is None
    assert schema["required"] == ["user", "code", "Shop password"]
    hidden = [name for name, field in schema["properties"].items() if field.get("format") == "password"]
    assert hidden == ["code", "Shop password"]
    bare = await Run(Vendor([question("input")])).play()
    assert isinstance(bare, Ask)
    assert bare.input_schema == {"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"]}


async def test_a_secret_that_a_person_gave_is_typed_by_its_handle_and_stands_nowhere() -> None:
    typing = act("type_text", text="pw: {{secret:password}}!")
    run = Run(Vendor([question("input", fields=[{"name": "password"}, {"name": "user"}])], [typing], [finish()]))
    run.asked(await run.decide())
    run.changes["secrets"] = {"password": "hunter2"}
    payload = {"values": {"password": "hunter2", "user": "ada"}}
    redacted = {"values": {"password": "[redacted]", "user": "ada"}}
    decision = await run.decide(Message("input", "submit", payload, redacted))
    assert run.vendor.results[0]["text"] == (
        "The person answered: password: given in confidence, type it as {{secret:password}}; user: ada"
    )
    assert isinstance(decision.move, Act)
    assert decision.move.action.params == {"text": "pw: {{secret:password}}!"}
    assert decision.move.secrets == {"text": (("text", "pw: "), ("secret", "password"), ("text", "!"))}
    again = await run.decide()
    assert again.move == decision.move
    await run.do(decision)
    await run.play()
    everything = json.dumps([run.memory, run.vendor.log, run.said, [r.system for r in run.vendor.requests]])
    assert "hunter2" not in everything


async def test_a_secret_answer_to_a_question_is_a_handle_too() -> None:
    run = Run(Vendor([question("question")], [finish()]))
    run.asked(await run.decide())
    payload = {"answers": {"answer": {"value": "4711", "custom": True}}}
    await run.play(Message("question", "answer", payload, {"answers": {"answer": "[redacted]"}}))
    assert run.vendor.results[0]["text"] == "The person answered: given in confidence, type it as {{secret:answer}}"
    assert "4711" not in json.dumps([run.memory, run.vendor.log])


async def test_what_people_said_is_told_again_in_a_new_episode() -> None:
    run = Run(Vendor([question("question")], [act("wait", ms=1)], [finish()]))
    run.asked(await run.decide())
    await run.decide(message("question", "answer", answers={"answer": {"value": "blue", "custom": True}}))
    assert run.state.words == [["What now?", "The person answered: blue"]]
