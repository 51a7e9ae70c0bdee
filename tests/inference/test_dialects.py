"""What models say in their own languages, and whatever else they say: calls, or words for the model; never an exception."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.dialects import call_syntax, json_point, own_tools, pyautogui, qwen, uitars
from inference.dialects.tool_calls import Call, Reading, without_thinking
from inference.wires.base import Tool
from machines.actions.canonical import Screen, canonical
from tests.chance import TRIED

ASK = Tool("ask_human", "Ask.", {"type": "object", "properties": {"question": {"type": "string"}}})
FINISH = Tool(
    "finish", "End.", {"type": "object", "properties": {"passed": {"type": "boolean"}, "summary": {"type": "string"}}}
)
OWN = (ASK, FINISH)
POINTER, MIDDLE = (7, 8), (500, 500)


def calls_of(reading: Reading) -> list[tuple[str, dict[str, Any]]]:
    assert not [call.problem for call in reading.calls if call.problem]
    return [(call.name, call.params) for call in reading.calls]


class TestThinking:
    @pytest.mark.parametrize(
        ("text", "said", "thought"),
        [
            ("<think>a\nb</think>\n\nclick", "click", "a\nb"),
            ("a\n</think>click", "click", "a"),
            ("<think>cut in the mid", "", "cut in the mid"),
            ("click<|im_end|>", "click", ""),
            ("<thinking>x</thinking>y<think>z</think>", "y", "x\n\nz"),
        ],
    )
    def test_is_kept_apart(self, text: str, said: str, thought: str) -> None:
        assert without_thinking(text) == (said, thought)


class TestTools:
    def test_names_points_and_numerals(self) -> None:
        assert own_tools.read_native("click", '{"x": "12", "y": "3.0", "count": 2}', "c1") == Call(
            "click", {"x": 12, "y": 3, "count": 2}, id="c1"
        )
        assert own_tools.read_native("type_text", '{"text": "12"}', "c").params == {"text": "12"}

    @pytest.mark.parametrize(
        "arguments", ['{"text": "hel', "[1]", "null", '"x"', "nan", "{'x': 1}", "[" * 90_000, 7, ["a"]]
    )
    def test_arguments_that_are_no_object_are_told(self, arguments: Any) -> None:
        call = own_tools.read_native("type_text", arguments, "c9")
        assert call.id == "c9"
        assert call.problem.startswith("Not executed")

    def test_no_arguments_are_none(self) -> None:
        assert (
            own_tools.read_native("screenshot", "", "c")
            == own_tools.read_native("screenshot", None, "c")
            == Call("screenshot", id="c")
        )

    @pytest.mark.parametrize("name", [None, "", 3])
    def test_a_call_without_a_name_is_told(self, name: Any) -> None:
        assert own_tools.read_native(name, "{}", "c").problem

    def test_calls_between_tags(self) -> None:
        reading = own_tools.read_tagged(
            'I go.\n<tool_call>\n{"name": "click", "arguments": {"x": 1, "y": 2}}\n</tool_call>\n<tool_call>{"name": "wait"'
            ', "arguments": {"ms": 5}}'
        )
        assert calls_of(reading) == [("click", {"x": 1, "y": 2}), ("wait", {"ms": 5})]
        assert reading.text == "I go."

    def test_broken_calls_between_tags_are_told_one_by_one(self) -> None:
        reading = own_tools.read_tagged(
            '<tool_call>{"name": </tool_call><tool_call>{"name": "click", "arguments": {}}</tool_call>'
        )
        assert [bool(call.problem) for call in reading.calls] == [True, False]

    def test_answers_by_schema(self) -> None:
        text = json.dumps({"thought": "So.", "calls": [{"name": "click", "arguments": {"x": 1, "y": 2}}]})
        for form in (text, f"```json\n{text}\n```"):
            reading = own_tools.read_schema(form)
            assert calls_of(reading) == [("click", {"x": 1, "y": 2})]
            assert reading.text == "So."

    @pytest.mark.parametrize(
        "text", ["", "I think I should scroll.", "{}", '{"calls": []}', '{"calls": [3]}', '{"calls": 3}', "[]"]
    )
    def test_answers_that_do_not_fit_are_told(self, text: str) -> None:
        assert all(call.problem for call in own_tools.read_schema(text).calls)
        assert own_tools.read_schema(text).calls

    def test_the_schema_takes_each_function_and_nothing_else(self) -> None:
        import jsonschema

        offered = [*own_tools.screen_tools({"click"}, "Pixels."), FINISH]
        schema = own_tools.answer_schema(offered)
        jsonschema.Draft202012Validator.check_schema(schema)
        good = {"thought": "", "calls": [{"name": "click", "arguments": {"x": 1, "y": 2}}]}
        jsonschema.validate(good, schema)
        good["calls"][0]["name"] = "drag"  # type: ignore[index]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good, schema)

    def test_only_what_the_machine_can_do_is_offered_in_fixed_order(self) -> None:
        one = own_tools.screen_tools(["type_text", "click"], "Pixels.")
        assert [tool.name for tool in one] == ["screenshot", "zoom", "click", "type_text"]
        assert one == own_tools.screen_tools(["click", "type_text"], "Pixels.")
        assert "Pixels." in one[2].description
        assert "Pixels." not in one[3].description

    @pytest.mark.parametrize(
        ("text", "is_call"),
        [
            ('{"name": "click", "arguments": {}}', True),
            ("<tool_call>", True),
            ('```json\n{"name": "click", "parameters": {}}\n```', True),
            ("I click.", False),
            ('{"name": "Bob"}', False),
        ],
    )
    def test_a_call_in_the_text_is_recognized(self, text: str, is_call: bool) -> None:
        assert own_tools.looks_like_call(text) is is_call


class TestQwen:
    @pytest.mark.parametrize(
        ("arguments", "acts"),
        [
            ({"action": "left_click", "coordinate": [1, 2]}, [("click", {"x": 1, "y": 2})]),
            ({"action": "double_click", "coordinate": ["1", 2]}, [("click", {"x": 1, "y": 2, "count": 2})]),
            ({"action": "right_click", "coordinate": [1, 2, 3, 4]}, [("click", {"x": 2, "y": 3, "button": "right"})]),
            ({"action": "mouse_move", "coordinate": [1, 2]}, [("move", {"x": 1, "y": 2})]),
            (
                {"action": "left_click_drag", "coordinate": [1, 2]},
                [("drag", {"from_x": 7, "from_y": 8, "to_x": 1, "to_y": 2})],
            ),
            ({"action": "key", "keys": ["enter"]}, [("key_press", {"key": "enter"})]),
            ({"action": "key", "keys": "ctrl+c"}, [("key_combo", {"keys": ["ctrl", "c"]})]),
            ({"action": "type", "text": "a"}, [("type_text", {"text": "a"})]),
            ({"action": "scroll", "pixels": -300}, [("scroll", {"x": 7, "y": 8, "direction": "down", "amount": 3})]),
            (
                {"action": "hscroll", "pixels": 10, "coordinate": [1, 1]},
                [("scroll", {"x": 1, "y": 1, "direction": "right", "amount": 1})],
            ),
            ({"action": "wait", "time": 1.5}, [("wait", {"ms": 1500})]),
            (
                {"action": "terminate", "status": "failure"},
                [("finish", {"passed": False, "summary": "The model ended the task with failure."})],
            ),
            ({"action": "answer", "text": "42"}, [("finish", {"passed": True, "summary": "42"})]),
            ({"action": "screenshot"}, [("screenshot", {})]),
        ],
    )
    def test_actions(self, arguments: dict[str, Any], acts: list[Any]) -> None:
        calls = qwen.translated(Call("computer_use", arguments, id="c"), POINTER, MIDDLE)
        assert [(call.name, call.params) for call in calls] == acts
        assert {call.id for call in calls} == {"c"}

    @pytest.mark.parametrize(
        "arguments",
        [
            {}, {"action": "fly"}, {"action": ["a"]}, {"action": "left_click"}, {"action": "left_click", "coordinate": "1,2"},
            {"action": "left_click", "coordinate": [True, 2]}, {"action": "type"}, {"action": "key", "keys": [1]},
            {"action": "key", "keys": []}, {"action": "scroll", "pixels": 0}, {"action": "scroll", "pixels": "x"},
            {"action": "wait", "time": 99}, {"action": "wait", "time": float("nan")}, {"action": "terminate"},
            {"action": "left_click", "coordinate": [1e300, 2]}, {"action": "scroll", "pixels": 5, "coordinate": [1]},
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_told(self, arguments: dict[str, Any]) -> None:
        (call,) = qwen.translated(Call("computer_use", arguments), POINTER, MIDDLE)
        assert call.problem

    def test_a_drag_without_a_beginning_is_not_guessed(self) -> None:
        (call,) = qwen.translated(
            Call("computer_use", {"action": "left_click_drag", "coordinate": [1, 2]}), None, MIDDLE
        )
        assert "start_coordinate" in call.problem

    def test_other_functions_stay(self) -> None:
        assert qwen.translated(Call("ask_human", {"question": "?"}), POINTER, MIDDLE) == [
            Call("ask_human", {"question": "?"})
        ]

    def test_only_what_the_machine_can_do_is_offered(self) -> None:
        offered = qwen.tool({"type_text", "key_press"}, "Pixels.", finish=False).schema["properties"]["action"]["enum"]
        assert offered == ["key", "type", "screenshot"]


class TestUiTars:
    @pytest.mark.parametrize(
        ("action", "acts"),
        [
            ("click(start_box='(1,2)')", [("click", {"x": 1, "y": 2})]),
            ("click(start_box='<|box_start|>(1, 2)<|box_end|>')", [("click", {"x": 1, "y": 2})]),
            ("click(point='<point>1 2</point>')", [("click", {"x": 1, "y": 2})]),
            ("click(start_box='[0,0,10,20]')", [("click", {"x": 5, "y": 10})]),
            ("left_double(start_box='(1,2)')", [("click", {"x": 1, "y": 2, "count": 2})]),
            ("right_single(start_box=[1, 2])", [("click", {"x": 1, "y": 2, "button": "right"})]),
            ("drag(start_box='(1,2)', end_box='(3,4)')", [("drag", {"from_x": 1, "from_y": 2, "to_x": 3, "to_y": 4})]),
            ("hotkey(key='ctrl shift t')", [("key_combo", {"keys": ["ctrl", "shift", "t"]})]),
            ("hotkey(key='enter')", [("key_press", {"key": "enter"})]),
            (r"type(content='it\'s\n')", [("type_text", {"text": "it's"}), ("key_press", {"key": "enter"})]),
            ("type(content='it's 5 o'clock')", [("type_text", {"text": "it's 5 o'clock"})]),
            (r"type(content='\n')", [("key_press", {"key": "enter"})]),
            (
                "scroll(start_box='(1,2)', direction='up')",
                [("scroll", {"x": 1, "y": 2, "direction": "up", "amount": 5})],
            ),
            ("scroll(direction='down')", [("scroll", {"x": 7, "y": 8, "direction": "down", "amount": 5})]),
            ("wait()", [("wait", {"ms": 5000})]),
            ("finished(content='All good')", [("finish", {"passed": True, "summary": "All good"})]),
            ("ask_human(question='Which?')", [("ask_human", {"question": "Which?"})]),
            ("ask_human('Which?')", [("ask_human", {"question": "Which?"})]),
        ],
    )
    def test_actions(self, action: str, acts: list[Any]) -> None:
        reading = uitars.read(f"Thought: I do it.\nAction: {action}", OWN, POINTER, MIDDLE)
        assert calls_of(reading) == acts
        assert reading.text == "I do it."
        assert [call.more for call in reading.calls] == [True] * (len(acts) - 1) + [False]

    def test_several_actions(self) -> None:
        reading = uitars.read(
            "Thought: a\nAction: wait()\n\nhotkey(key='a')\nThought: b\nAction: wait()", OWN, None, MIDDLE
        )
        assert [name for name, _ in calls_of(reading)] == ["wait", "key_press", "wait"]

    @pytest.mark.parametrize(
        "action",
        [
            "click()", "click(start_box='here')", "fly(start_box='(1,2)')", "click(start_box=os.getcwd())", "drag(start_box='(1,2)')",
            "scroll(start_box='(1,2)', direction='in')", "hotkey(key='')", "type()", "type(content=5)", "I click the button", "click(",
            "__import__('os').system('ls')", "click(start_box='(1,2,3)')",
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_told(self, action: str) -> None:
        reading = uitars.read(f"Action: {action}", OWN, None, MIDDLE)
        assert reading.calls
        assert all(call.problem for call in reading.calls)

    def test_words_without_an_action_are_no_call(self) -> None:
        assert uitars.read("Thought: hm", OWN, None, MIDDLE).calls == ()


class TestPyautogui:
    def test_parses_into_canonical_actions(self) -> None:
        """Of docs/api/machines-and-inference.md 4: T-170's forms come out."""
        code = """```python
import pyautogui, time
# Open the menu
pyautogui.click(x=100.4, y=200)
pyautogui.doubleClick(5, 6); rightClick(7, 8)
pyautogui.moveTo(1, 2, duration=1)
pyautogui.dragTo(50, 60, button='left')
pyautogui.scroll(-5)
pyautogui.hscroll(2, x=1, y=1)
pyautogui.write('hi; # there', interval=0.05)
pyautogui.typewrite(['a', 'enter'])
pyautogui.press('Return', presses=2)
pyautogui.hotkey('ctrl', 'c')
time.sleep(1.5)
DONE
```"""
        actions = pyautogui.parse(code)
        assert [(one["action_type"], one["params"]) for one in actions] == [
            ("click", {"x": 100, "y": 200, "button": "left", "count": 1}),
            ("click", {"x": 5, "y": 6, "button": "left", "count": 2}),
            ("click", {"x": 7, "y": 8, "button": "right", "count": 1}),
            ("move", {"x": 1, "y": 2}),
            ("drag", {"from_x": 1, "from_y": 2, "to_x": 50, "to_y": 60}),
            ("scroll", {"x": 50, "y": 60, "direction": "down", "amount": 5}),
            ("scroll", {"x": 1, "y": 1, "direction": "right", "amount": 2}),
            ("type_text", {"text": "hi; # there"}),
            ("key_press", {"key": "a"}),
            ("key_press", {"key": "enter"}),
            ("key_press", {"key": "enter"}),
            ("key_press", {"key": "enter"}),
            ("key_combo", {"keys": ["ctrl", "c"]}),
            ("wait", {"ms": 1500}),
            ("done", {}),
        ]  # fmt: skip
        assert actions[0]["description"] == "Open the menu"

    @pytest.mark.parametrize(
        "line",
        [
            "os.system('rm -rf /')", "pyautogui.click(x, 3)", "pyautogui.click(1+1, 3)", "pyautogui.click(*[1, 2])", "click(-1, 3)",
            "driver.click(1, 2)", "pyautogui.press('nokey')", "pyautogui.click()", "x = 3", "pyautogui.write(f'{x}')",
            "pyautogui.write('a' * 9)", "pyautogui.click(1, 2).x", "pyautogui.click(1, 2)()", "lambda: 1", "pyautogui.click(True, 2)",
            "time.sleep(1e9)", "pyautogui.press('a', presses=10**9)", "pyautogui.dragTo(1, 2)", "click(1e400, 1)", "click(1, 2, 3, 4, 5)",
            "pyautogui.click(1, 2", "eval('1')", "getattr(pyautogui, 'click')(1, 2)", "pyautogui.write(b'x')", "click(1, x=2, y=3, x=4)",
        ],
    )  # fmt: skip
    def test_anything_else_is_raw(self, line: str) -> None:
        (action,) = pyautogui.parse(line)
        assert (action["action_type"], action["params"]) == ("raw", {"code": line})

    def test_what_stands_in_a_block_may_depend_on_something_and_is_raw(self) -> None:
        code = "if found:\n    pyautogui.click(1, 2)\nelse: pyautogui.click(3, 4)\npyautogui.click(5, 6)"
        assert [one["action_type"] for one in pyautogui.parse(code)] == ["raw", "raw", "raw", "click"]

    def test_one_broken_line_does_not_spoil_the_others(self) -> None:
        code = "click(1, 2)\nclick(1 2)\nclick(3, 4)\n" * 50
        assert [one["action_type"] for one in pyautogui.parse(code)] == ["click", "raw", "click"] * 50

    @pytest.mark.parametrize(
        "part",
        ["(", "[", "'", '"', "'''", "\\", "-", "1+", "a.", "a(", "lambda:", "not ", "if a:\n", "\n", ";", "#\n", "click(", "click((", "{",
         "click(a=", "click(-", "press('", "press('\\", "'\\", "elif a: b\n", "f'{", "click(1,1'a')\n", "\0", "\r", "é(", "click(1\n"],
    )  # fmt: skip
    def test_fifty_thousand_characters_of_anything(self, part: str) -> None:
        for code in ((part * 50_000)[:50_000], "click(1, 2)\n" + part * 8_000 + "1)"):
            assert all(one["action_type"] in {"raw", "click", "key_press"} for one in pyautogui.parse(code))

    @TRIED
    @given(st.text(max_size=300) | st.lists(st.sampled_from(
        ["click", "pyautogui.", "(", ")", "1", ",", " ", "'", "\n", "x=", "-", "#", ";", "write", "[", "]", '"', "\\", ".5", "DONE", "\t"]
    ), max_size=60).map("".join))  # fmt: skip
    def test_whatever_comes_out_can_be_done_or_is_raw(self, code: str) -> None:
        for action in pyautogui.parse(code):
            assert action.keys() == {"action_type", "params", "description"}
            if action["action_type"] != "raw":
                name, params = canonical(action["action_type"], action["params"], Screen(200_000, 200_000))
                assert (name, params) == (action["action_type"], action["params"]), "canonical already"

    def test_answers_of_models(self) -> None:
        text = "I click the button.\n```python\npyautogui.click(x=10, y=20)\nask_human(question='Which?')\n```"
        reading = pyautogui.read(text, OWN, None, MIDDLE)
        assert calls_of(reading) == [
            ("click", {"x": 10, "y": 20, "button": "left", "count": 1}), ("ask_human", {"question": "Which?"})
        ]  # fmt: skip
        assert reading.text == "I click the button."
        assert calls_of(pyautogui.read("```\nDONE\n```", OWN, None, MIDDLE)) == [
            ("finish", {"passed": True, "summary": "The model ended the task: done."})
        ]
        assert calls_of(pyautogui.read("pyautogui.scroll(3)", OWN, None, MIDDLE))[0][1]["x"] == 500
        assert calls_of(pyautogui.read("pyautogui.click()", OWN, POINTER, MIDDLE))[0][1]["x"] == 7
        assert pyautogui.read("I think so.", OWN, None, MIDDLE).calls == ()
        assert pyautogui.read("```\nos.system('x')\n```", OWN, None, MIDDLE).calls[0].problem


class TestJsonPoint:
    @pytest.mark.parametrize(
        "text",
        [
            '{"x": 3, "y": 4}', "[3, 4]", "(3, 4)", "click(3, 4)", "click(x=3, y=4)", "The button is at (3, 4).", '{"point": [3, 4]}',
            '{"action": "click", "x": "3", "y": 4}', '[{"point_2d": [3, 4], "label": "button"}]', '{"bbox_2d": [2, 3, 4, 5]}',
            "<point>3 4</point>", "<click>3, 4</click>", '```json\n{"x": 3, "y": 4}\n```', "pyautogui (3, 4)", "[2, 3, 4, 5]",
            '{"name": "click", "arguments": {"x": 3, "y": 4}}', '{"action": "click", "coordinate": [3, 4]}',
        ],
    )  # fmt: skip
    def test_a_point_is_a_click(self, text: str) -> None:
        assert calls_of(json_point.read(text, OWN, None, MIDDLE)) == [("click", {"x": 3, "y": 4})]

    def test_other_actions(self) -> None:
        read = json_point.read
        assert calls_of(read('{"action": "type_text", "text": "12"}', OWN, None, MIDDLE)) == [
            ("type_text", {"text": "12"})
        ]
        assert calls_of(read('{"action": "finish", "passed": true, "summary": "ok"}', OWN, None, MIDDLE)) == [
            ("finish", {"passed": True, "summary": "ok"})
        ]

    @pytest.mark.parametrize(
        "text",
        [
            "(1, 2) or (3, 4)",
            '{"z": 1}',
            '{"action": 3}',
            '{"x": "a", "y": 1}',
            "click(1)",
            '{"point": [1]}',
            '{"action": ["a"], "point": [1, 2]}',
        ],
    )
    def test_what_is_not_one_point_is_told(self, text: str) -> None:
        assert json_point.read(text, OWN, None, MIDDLE).calls[0].problem

    def test_words_without_a_point_are_no_call(self) -> None:
        assert json_point.read("I see no such button.", OWN, None, MIDDLE).calls == ()


PIECES = [
    "Action: ", "Thought: ", "click", "(", ")", "start_box=", "'", "(1,2)", "\n", "<tool_call>", "</tool_call>", "{", "}",
    '"name"', ":", '"click"', ",", '"arguments"', "[", "]", "1", "<think>", "</think>", "```", "python\n", "type",
    "content=", "finished", "\\", "-", "scroll", "drag", "<point>", "</point>", "pyautogui.", '"x"', '"y"', "null", "NaN",
    "1e999", "\ufdfd", "\0",
]  # fmt: skip
WORDS = st.text(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
FIELDS = [
    "action", "coordinate", "keys", "text", "pixels", "time", "name", "arguments", "x", "y", "calls", "point", "start_coordinate",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda one: st.lists(one) | st.dictionaries(st.sampled_from(FIELDS), one),
    max_leaves=12,
)


ARGUMENTS = [
    "x", "y", "button", "clicks", "presses", "keys", "key", "message", "text", "secs", "start_box", "end_box", "point", "direction",
    "content", "coordinate", "start_coordinate", "pixels", "time", "status",
]  # fmt: skip
LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda one: st.lists(one, max_size=4),
    max_leaves=5,
)


class TestAnything:
    @TRIED
    @given(WORDS)
    def test_never_raises(self, text: str) -> None:
        said, _ = without_thinking(text)
        readings = [
            own_tools.read_tagged(said), own_tools.read_schema(said), uitars.read(said, OWN, None, MIDDLE),
            pyautogui.read(said, OWN, POINTER, MIDDLE), json_point.read(said, OWN, None, MIDDLE),
        ]  # fmt: skip
        for call in (call for reading in readings for call in reading.calls):
            assert bool(call.name) != bool(call.problem)
            json.dumps(call.params)
            assert all(one.name or one.problem for one in qwen.translated(call, None, MIDDLE))

    @TRIED
    @given(JSON)
    def test_nor_for_any_json(self, value: Any) -> None:
        text = json.dumps(value)
        for reading in (
            own_tools.read_schema(text),
            own_tools.read_tagged(f"<tool_call>{text}"),
            json_point.read(text, OWN, None, MIDDLE),
        ):
            assert all(bool(call.name) != bool(call.problem) for call in reading.calls)
        if isinstance(value, dict):
            for action in ("key", "scroll", "left_click", "left_click_drag", "wait", "type", value.get("action")):
                for call in qwen.translated(Call(qwen.NAME, {**value, "action": action}), None, MIDDLE):
                    assert bool(call.name) != bool(call.problem)

    @TRIED
    @given(
        st.sampled_from(sorted({*uitars._READERS, *pyautogui._READERS})),
        st.dictionaries(st.sampled_from(ARGUMENTS), LITERALS, max_size=4),
        st.lists(LITERALS, max_size=3),
    )
    def test_nor_for_any_literal_argument(self, name: str, named: dict[str, Any], args: list[Any]) -> None:
        code = f"{name}({', '.join([*map(repr, args), *(f'{key}={value!r}' for key, value in named.items())])})"
        assert pyautogui.parse(code)
        for reading in (
            uitars.read(f"Action: {code}", OWN, None, MIDDLE),
            pyautogui.read(f"```\n{code}\n```", OWN, POINTER, MIDDLE),
            json_point.read(code, OWN, None, MIDDLE),
        ):
            assert all(bool(call.name) != bool(call.problem) for call in reading.calls)

    @TRIED
    @given(st.sampled_from(sorted(qwen._READERS)), st.dictionaries(st.sampled_from(ARGUMENTS), LITERALS))
    def test_nor_for_any_argument_of_computer_use(self, action: str, args: dict[str, Any]) -> None:
        for call in qwen.translated(Call(qwen.NAME, {**args, "action": action}), None, MIDDLE):
            assert bool(call.name) != bool(call.problem)

    @TRIED
    @given(st.text(alphabet="ab(),'\"\\\n;= [", max_size=80))
    def test_statements_are_parts_of_the_program_in_order(self, code: str) -> None:
        at = 0
        for line in call_syntax.lines(code):
            first = re.split(r"#", line.text)[0][:20].strip()
            place = code.find(first, at)
            assert place >= 0
            at = place
