"""`remember the text of "X" as name`: what the playbook agent hands over at the end."""

from typing import Any

import pytest

from machines.drivers.base import Action, ActResult, MachineState
from runs.agents.base import Ask, Finish
from runs.agents.playbook import parse
from runs.agents.playbook.instructions.remembering import output_of
from tests.agents.machines import FakeSession, Player, answered, element
from tests.cast import Api
from tests.drivers.conftest import site  # noqa: F401
from tests.runs.at_terminal import Terminal
from tests.runs.conftest import terminal  # noqa: F401
from tests.runs.driving import data_of, request_of, waiting
from tests.runs.test_field_runs import Desk, desk, succeeded  # noqa: F401

ORDER = """<!doctype html><title>Order</title><h1>Order 4711</h1>
  <dl><dt>Customer</dt><dd>Ana Müller</dd><dt>Ship to</dt><dd>Berlin</dd></dl>
  <p>Total: <b>129.50</b></p>
  <table><tr><th>Product<th>Count<th>Price</tr>
    <tr><th scope=row>Tea<td>3<td>4.20</tr><tr><th scope=row>Milk<td>1<td>1.10</tr></table>
  <label>E-mail <input value="ana@example.com"></label>
  <label>Comment <input disabled value="ring twice"></label>
  <label>Pin <input type=password value="9321"></label>
  <label><input type=checkbox checked> Paid</label>
  <button>Send</button> <span>tomorrow</span>"""
SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "string"}, "total": {"type": "number"}, "count": {"$ref": "#/$defs/n"}, "paid": {"type": "boolean"},
    },
    "required": ["order", "total"],
    "$defs": {"n": {"type": "integer"}},
}  # fmt: skip


# --- sentences


@pytest.mark.parametrize(
    ("sentence", "action", "params"),
    [
        ('remember the text of "Total" as total', "remember", {"label": "Total", "saved_as": "total"}),
        ("Remember the value of the 'E-mail' field as mail", "remember", {"label": "E-mail", "role": "field", "saved_as": "mail"}),
        ('remember "Total" as the total', "remember", {"label": "Total", "saved_as": "total"}),
        ('remember the text of "Total" as "order total"', "remember", {"label": "Total", "saved_as": "order total"}),
        ("remember the text of the last heading as title", "remember", {"role": "heading", "ordinal": -1, "saved_as": "title"}),
        (
            'remember the text of the third cell in the row "Tea" as price', "remember",
            {"role": "cell", "ordinal": 3, "row": "Tea", "saved_as": "price"},
        ),
        ('remember the line with "Total" as total', "remember_line", {"line": "Total", "saved_as": "total"}),
        ("remember the output as hosts", "remember_output", {"saved_as": "hosts"}),
        ("remember the output of the last command as hosts", "remember_output", {"saved_as": "hosts"}),
    ],
)  # fmt: skip
def test_the_sentences_that_remember(sentence: str, action: str, params: dict[str, Any]) -> None:
    assert parse(sentence).steps == [{"text": sentence, "action": action, "params": params}]
    (first, second) = parse(f"{sentence} and stop").steps
    assert (first["action"], second["action"]) == (action, "stop")


@pytest.mark.parametrize(
    "sentence", ["remember to buy milk", 'remember the text of "Total"', "remember that", 'remember "x" as ""']
)
def test_what_names_nothing_is_not_understood(sentence: str) -> None:
    assert parse(sentence).unknown


def test_the_parse_route_reads_it(test_key: Api) -> None:
    answer = test_key.post("/agents/playbook/parse", {"task": 'remember the text of "Total" as total'})
    assert answer.json()["steps"][0]["params"] == {"label": "Total", "saved_as": "total"}


test_the_parse_route_reads_it = pytest.mark.django_db(test_the_parse_route_reads_it)


# --- texts become what the schema expects


@pytest.mark.parametrize(
    ("text", "types", "value"),
    [
        ("12", "integer", 12), (" -7 ", "integer", -7), ("12.0", "integer", "12.0"), ("1,234", "integer", "1,234"),
        ("12", "number", 12), ("12.5", "number", 12.5), ("1e3", "number", 1000.0), (".5", "number", 0.5),
        ("1,5", "number", "1,5"), ("NaN", "number", "NaN"), ("$5", "number", "$5"), ("٣", "integer", "٣"), ("", "number", ""),
        ("true", "boolean", True), ("Yes", "boolean", True), ("no", "boolean", False), ("1", "boolean", "1"),
        ("12", ["number", "string"], "12"), ("12", ["number", "null"], 12), ("12", "string", "12"), ("x", None, "x"),
    ],
)  # fmt: skip
def test_a_text_becomes_what_is_expected_where_it_is_that(text: str, types: Any, value: Any) -> None:
    schema = {"properties": {"a": {"type": types} if types else {}}}
    output = output_of({"a": text}, schema)
    assert output == {"a": value}
    assert output is not None
    assert type(output["a"]) is type(value)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": []},
        {"properties": {"a": True}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"$ref": "#"},
        True,
    ],
)
def test_any_schema_leaves_a_text_as_it_is(schema: Any) -> None:
    assert output_of({"a": "12"}, schema) == {"a": "12"}


def test_nothing_remembered_is_nothing_handed_over() -> None:
    assert output_of({}, None) is None
    assert output_of({}, SCHEMA) == {}


# --- one turn after the other


async def test_several_that_fit_are_asked_about_and_a_skipped_one_is_missing() -> None:
    shown = [element("cell", "Total 1", 100, 100), element("cell", "Total 2", 100, 200)]
    player = Player('remember the text of "Total" as total', FakeSession(shown=shown))
    ask = await player.play()
    assert isinstance(ask, Ask)
    labels = [option["label"] for option in ask.questions[0]["options"]]
    assert labels[2:] == ["Skip", "Take over", "Stop"]
    again = Player('remember the text of "Total" as total and press Enter', FakeSession(shown=shown))
    await again.play()
    assert await again.play(answered("Skip")) == Finish(True, "Done: 1 instruction. 1 of 2 skipped.", 1)
    assert await player.play(answered(labels[1])) == Finish(True, "Done: 1 instruction.", output={"total": "Total 2"})


async def test_lines_that_differ_are_asked_about_and_none_is_an_instruction() -> None:
    page = "Total stop\nTotal skip\nTotal stop\nelse"
    player = Player('remember the line with "total" as t', FakeSession(page=page), machine_kind="terminal")
    ask = await player.play()
    assert isinstance(ask, Ask)
    assert '2 lines hold "total"' in ask.message
    labels = [option["label"] for option in ask.questions[0]["options"]]
    assert labels == ['1: "Total stop"', '2: "Total skip"', "Skip", "Take over", "Stop"]
    player.session.page = "gone"
    assert await player.play(answered(labels[1])) == Finish(True, "Done: 1 instruction.", output={"t": "Total skip"})


async def test_without_people_what_is_not_there_fails_the_run() -> None:
    player = Player('remember the text of "Total" as total', may_ask=False)
    end = await player.play()
    assert isinstance(end, Finish)
    assert not end.passed
    assert end.output is None
    player = Player("remember the output as x", may_ask=False, machine_kind="terminal")
    end = await player.play()
    assert isinstance(end, Finish)
    assert "Nothing is known of what the last command wrote" in end.summary


async def test_what_was_remembered_can_be_typed_and_the_newest_counts() -> None:
    shown = [element("heading", "Order 4711", 100, 100), element("textbox", "Search", 100, 200, value="old")]
    player = Player(
        'remember the text of "Search" as number, remember the text of "Order" as number, type the number into "Search"',
        FakeSession(shown=shown),
    )
    assert await player.play() == Finish(True, "Done: 3 instructions.", output={"number": "Order 4711"})
    assert player.actions[2] == ("fill", {"x": 140, "y": 210, "text": "Order 4711"})
    assert [name for name, _ in player.actions] == ["screenshot", "screenshot", "fill"]


async def test_a_secret_of_the_run_is_not_remembered() -> None:
    session = FakeSession(shown=[element("textbox", "Code", value="is 9321!")])
    player = Player('remember the text of "Code" as code', session, secrets={"pin": "9321"})
    assert await player.play() == Finish(True, "Done: 1 instruction.", output={"code": "is [redacted]!"})
    assert "9321" not in str(player.context.memory)
    assert "9321" not in "".join(player.said)


async def test_lines_that_are_offered_hold_no_secret_of_the_run() -> None:
    session = FakeSession(page="Pin 9321 old\nPin 9321 new")
    player = Player('remember the line with "pin" as p', session, machine_kind="terminal", secrets={"pin": "9321"})
    ask = await player.play()
    assert isinstance(ask, Ask)
    labels = [option["label"] for option in ask.questions[0]["options"]]
    assert labels[:2] == ['1: "Pin [redacted] old"', '2: "Pin [redacted] new"']
    assert "9321" not in f"{ask} {player.context.memory} {player.said}"


async def test_the_output_is_that_of_the_last_command() -> None:
    wrote = iter(["one\n", "two\n\n"])

    def react(session: FakeSession, action: Action) -> ActResult:
        data = {"exit_code": 0, "finished": True, "output": next(wrote)} if action.name == "run_line" else {}
        session.now = MachineState(exit_code=0)
        return ActResult(True, data=data)

    task = "run `a`, run `b`, check that port 80 is not listening, remember the output as out"
    player = Player(task, FakeSession(react=react), machine_kind="terminal")
    assert await player.play() == Finish(True, "Done: 4 instructions.", output={"out": "two"})


# --- real machines


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_T_188_a_page_is_read_into_the_output(desk: Desk) -> None:  # noqa: F811
    task = """open P
      remember the text of "Order" as order
      remember the text of "Customer" as customer
      remember the text of "Total" as total
      remember the text of the first cell in the row "Tea" as count
      remember the text of the "E-mail" field as mail
      remember the text of "Comment" as comment
      remember the text of "Paid" as paid
      remember the text of "Send" as send"""
    run = desk.run(ORDER, task, output_schema=SCHEMA)
    succeeded(run)
    assert run["result"]["output"] == {
        "order": "Order 4711", "customer": "Ana Müller", "total": 129.5, "count": 3, "mail": "ana@example.com",
        "comment": "ring twice", "paid": True, "send": "Send",
    }  # fmt: skip
    assert run["steps_completed"] == 9
    assert 'Remembered as total: "129.50".' in str(data_of(run["id"], "text"))


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_T_188_what_is_missing_or_no_number_fails_the_run_and_is_named(desk: Desk) -> None:  # noqa: F811
    run = desk.run(ORDER, 'open P, remember the text of "Total" as total', output_schema=SCHEMA)
    assert (run["status"], run["error"]["code"]) == ("failed", "TASK_FAILED")
    assert "'order' is a required property" in run["error"]["message"]
    task = 'open P, remember the text of "Order" as order, remember the text of "Customer" as total'
    run = desk.run(ORDER, task, output_schema=SCHEMA)
    assert "total: 'Ana Müller' is not of type 'number'" in run["error"]["message"]
    run = desk.run(ORDER, 'open P, remember the text of "Pin" as pin')
    assert "hides what it holds" in run["error"]["message"]
    assert run["result"]["output"] is None


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_engine_v4_still_verifies_what_instructions_left(desk: Desk) -> None:  # noqa: F811
    run = desk.run(
        ORDER, 'open P, remember the text of "Order" as order', cua_version="v4", output_schema={"type": "object"}
    )
    succeeded(run)
    assert (run["result"]["verdict"], run["result"]["output"]) == ("pass", {"order": "Order 4711"})


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_people_say_which_of_two_is_meant(desk: Desk) -> None:  # noqa: F811
    address = desk.site.page("<h2>Total 1</h2><h2>Total 2</h2>", "/p")
    task = f'open {address}, remember the text of "Total" as total'
    run = waiting(desk.api, task, machine_id=desk.id, agent="playbook")
    request = request_of(desk.api, run)
    assert [option["label"] for option in request["questions"][0]["options"]][2:] == ["Skip", "Take over", "Stop"]


@pytest.mark.django_db(transaction=True)
def test_T_188_a_terminal_is_read_into_the_output(terminal: Terminal) -> None:  # noqa: F811
    task = """run `printf 'Name: Ana\\nTotal: 42\\n'`
      remember the line with "Name" as name
      remember the text of "Total" as total
      run `echo 7`
      remember the output as count"""
    schema = {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]}
    fields: dict[str, Any] = {"machine_id": terminal.id, "agent": "playbook", "human_in_the_loop": False}
    from tests.runs.driving import ended

    run = ended(terminal.api, task, output_schema=schema, **fields)
    succeeded(run)
    assert run["result"]["output"] == {"name": "Name: Ana", "total": "Total: 42", "count": 7}
