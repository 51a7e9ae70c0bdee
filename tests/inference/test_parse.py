"""POST /v1/parse: code that a model wrote becomes actions; nothing of it is ever run. What is read is tried in test_dialects."""

import time
from typing import Any

import pytest

from inference.schemas import ACTION_TYPES
from tests.cast import Api, Cast
from tests.conventions.conftest import locs, only, refused

pytestmark = pytest.mark.django_db


def parsed(api: Api, code: str) -> list[dict[str, Any]]:
    answer = api.post("/parse", {"code": code})
    assert answer.status_code == 200, answer.content
    assert answer.json().keys() == {"actions", "request_id"}
    found: list[dict[str, Any]] = answer.json()["actions"]
    return found


@pytest.mark.parametrize("kind", ["live", "test"])
def test_actions_in_their_canonical_form(cast: Cast, kind: str) -> None:
    code = "import pyautogui\npyautogui.click(10, 20)\npyautogui.write('hi')\npyautogui.hotkey('ctrl', 'c')\nDONE"
    found = parsed(cast.api(test=kind == "test"), code)
    assert [(a["action_type"], a["params"]) for a in found] == [
        ("click", {"x": 10, "y": 20, "button": "left", "count": 1}), ("type_text", {"text": "hi"}),
        ("key_combo", {"keys": ["ctrl", "c"]}), ("done", {}),
    ]  # fmt: skip
    assert {key for action in found for key in action} == {"action_type", "params", "description"}
    assert {action["action_type"] for action in found} <= set(ACTION_TYPES)


@pytest.mark.parametrize("code", [
    "__import__('os').system('touch /tmp/parsed')", "import os; os.remove('x')", "pyautogui.click(open('/etc/passwd').read())",
    "1/0", "(" * 9000,
    "pyautogui.click(" + "9" * 4000 + ", 1)", "def f():\n  return f()\nf()", "lambda: " * 2000 + "1", "if True:\n    pyautogui.click(1, 2)",
    "-" * 40_000 + "1", "[" * 20_000 + "]" * 20_000, "\x85\u2028\ufeff", "plain words",
])  # fmt: skip
def test_what_is_not_known_stays_raw(test_key: Api, code: str) -> None:
    assert {action["action_type"] for action in parsed(test_key, code)} <= {"raw"}


def test_much_of_it_is_read_quickly_and_costs_nothing(live: Api) -> None:
    code = "pyautogui.click(1, 2)\n" * 2200
    start = time.process_time()
    assert len(parsed(live, code)) == 2200
    assert time.process_time() - start < 5  # a run-away, not a benchmark
    balance = live.get("/billing/balance").json()
    assert (balance["balance_cents"], live.get("/usage").json()["breakdown"]) == (10_000, {})


@pytest.mark.parametrize(("body", "loc"), [
    ({}, ["code"]), ({"code": ""}, ["code"]), ({"code": "x" * 50_001}, ["code"]), ({"code": 5}, ["code"]), ({"code": "x", "y": 1}, ["y"]),
])  # fmt: skip
def test_bodies_that_are_refused(test_key: Api, body: dict[str, Any], loc: list[str]) -> None:
    assert ["body", *loc] in locs(test_key.post("/parse", body))


def test_the_longest(test_key: Api) -> None:
    assert test_key.post("/parse", {"code": "x" * 50_000}).status_code == 200


def test_scope_and_replay(cast: Cast) -> None:
    api = only(cast, "parse")
    one, two = (api.post("/parse", {"code": "DONE"}, Idempotency_Key="k") for _ in range(2))
    assert two.content == one.content
    assert refused(only(cast, "predict").post("/parse", {"code": "DONE"}), 403, "INSUFFICIENT_SCOPE")
