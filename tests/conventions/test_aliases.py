"""Names of another vendor's API that work here too (docs/api/aliases.md)."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as installed
from django.test import Client

from accounts.webhooks.signing import signed_headers
from config.server.asgi_handler import health
from config.server.callers import caller_of
from inference.dialects import pyautogui
from inference.predict.code_lines import code_of
from tests.cast import Api
from tests.conventions.conftest import refused
from tests.inference.shots import answering, shot
from tests.inference.wire import click
from web import aliases

pytestmark = pytest.mark.django_db
CLIENT = Client()


@pytest.fixture
def switched_off(settings: Any) -> None:
    settings.VENDOR_ALIASES = False


def respelled(key: str) -> str:
    _, world, secret = key.split("_", 2)
    return f"sk-coasty-{world}-{secret}"


def test_a_key_opens_the_same_by_either_spelling(live: Api, test_key: Api) -> None:
    for api in (live, test_key):
        own = api.get("/runs")
        for headers in ({"X-API-Key": respelled(api.key)}, {"Authorization": f"Bearer {respelled(api.key)}"}):
            answer = CLIENT.get("/v1/runs", headers=headers)
            assert (answer.status_code, answer["X-Key-Kind"]) == (200, own["X-Key-Kind"])


def test_a_key_has_one_rate_and_one_turn_by_both_spellings(live: Api) -> None:
    before = int(live.get("/runs")["X-RateLimit-Remaining"])
    answer = CLIENT.get("/v1/runs", headers={"X-API-Key": respelled(live.key)})
    assert int(answer["X-RateLimit-Remaining"]) == before - 1
    own, other = (caller_of({"headers": [(b"x-api-key", key.encode())]}) for key in (live.key, respelled(live.key)))
    assert own == other


@pytest.mark.parametrize(
    "key",
    [
        "sk-coasty-live-",
        "sk-coasty-test-",
        "sk-coasty-live-no",
        "sk-coasty-agent-x",
        "sk-coasty-live",
        "SK-COASTY-LIVE-x",
    ],
)
def test_a_spelling_without_its_secret_opens_nothing(live: Api, key: str) -> None:
    refused(CLIENT.get("/v1/runs", headers={"X-API-Key": key}), 401, "INVALID_API_KEY")


def test_the_world_is_that_of_the_key_and_not_of_its_spelling(live: Api, test_key: Api) -> None:
    for api, wrong in ((live, "test"), (test_key, "live")):
        key = f"sk-coasty-{wrong}-{api.key.split('_', 2)[2]}"
        refused(CLIENT.get("/v1/runs", headers={"X-API-Key": key}), 401, "INVALID_API_KEY")


@pytest.mark.usefixtures("switched_off")
def test_switched_off_only_our_spelling_is_a_key(live: Api) -> None:
    refused(CLIENT.get("/v1/runs", headers={"X-API-Key": respelled(live.key)}), 401, "INVALID_API_KEY")
    assert live.get("/runs").status_code == 200


def doubled(answer: Any) -> set[str]:
    names = {ours for ours, alias in aliases.HEADERS.items() if answer.headers.get(ours) is not None}
    assert all(answer[ours] == answer[aliases.HEADERS[ours]] for ours in names)
    assert sum(name.lower().startswith("x-coasty") for name in answer.headers) == len(names)
    return names


def test_each_header_of_ours_has_its_alias_with_the_same_value(live: Api, test_key: Api) -> None:
    assert doubled(live.get("/runs")) == {"X-Request-Id", "X-Key-Kind"}
    assert doubled(test_key.get("/runs/none")) == {"X-Request-Id", "X-Key-Kind", "X-Test-Mode"}
    assert doubled(CLIENT.get("/v1/no/such/thing")) == {"X-Request-Id"}
    assert doubled(health()) == {"X-Request-Id"}
    first, again = (test_key.post("/runs", {"task": "x"}, **{"Idempotency-Key": "a"}) for _ in "12")
    assert "X-Coasty-Idempotent-Replay" not in first
    assert again["X-Coasty-Idempotent-Replay"] == "true"
    assert again["X-Coasty-Request-Id"] != first["X-Coasty-Request-Id"]


def test_pages_have_no_aliases() -> None:
    assert not [name for name in CLIENT.get("/sign-in").headers if "coasty" in name.lower()]


@pytest.mark.usefixtures("switched_off")
def test_switched_off_no_header_has_an_alias(test_key: Api) -> None:
    answers = [test_key.post("/runs", {"task": "x"}, **{"Idempotency-Key": "a"}) for _ in "12"]
    assert not [name for answer in answers for name in answer.headers if "coasty" in name.lower()]


def test_a_webhook_is_signed_under_both_names(settings: Any) -> None:
    both = signed_headers(("whsec_bmV3", "whsec_b2xk"), "evt_1", 1, b"{}")
    assert both["Coasty-Signature"] == both["Countersign-Signature"] != both["Countersign-Signature-Previous"]
    settings.VENDOR_ALIASES = False
    assert signed_headers(("whsec_bmV3",), "evt_1", 1, b"{}").keys() == both.keys() - {
        "Coasty-Signature",
        "Countersign-Signature-Previous",
    }


@pytest.mark.parametrize(("path", "name"), [("/sessions", "sessions"), ("/keys", "keys")])
def test_two_lists_have_their_rows_under_a_name_too(live: Api, settings: Any, path: str, name: str) -> None:
    live.post("/sessions", {})
    listed = live.get(f"{path}?limit=1").json()
    assert len(listed["data"]) == 1
    assert listed[name] == listed["data"]
    settings.VENDOR_ALIASES = False
    assert name not in live.get(path).json()


def test_a_machine_has_its_system_under_two_names(test_key: Api) -> None:
    sent = {"display_name": "x", "os_type": "windows", "provider": "aws", "desktop_enabled": True, "storage_gb": 30}
    answer = test_key.post("/machines", sent)
    assert answer.status_code == 200, answer.content
    assert (answer.json()["os"], answer.json()["machine"]["os_type"]) == ("windows", "windows")
    alike = test_key.post("/machines", {"display_name": "x", "os": "linux", "os_type": "linux"}).json()
    assert (alike["os"], alike["os_type"]) == ("linux", "linux")
    for wrong in ({"os": "linux", "os_type": "windows"}, {"os_type": "mac"}):
        refused(test_key.post("/machines", {"display_name": "x"} | wrong), 422, "VALIDATION_ERROR")


def steps_of(answer: Any) -> tuple[list[tuple[bool, str | None]], int, int, bool]:
    found = answer.json()
    results = [(result["success"], result["error"]) for result in found["results"]]
    return results, found["completed_count"], found["failed_count"], found["aborted"]


def test_fail_fails_a_batch(test_key: Api) -> None:
    machine = test_key.post("/machines", {"display_name": "x"}).json()["id"]
    wait, fail = (
        {"command": "wait", "parameters": {"ms": 0}},
        {"command": "fail", "params": {"reason": "No such page."}},
    )
    batch = {"steps": [wait, fail, wait]}
    failed = (False, "No such page.")
    answer = test_key.post(f"/machines/{machine}/actions/batch", batch)
    assert steps_of(answer) == ([(True, None), failed], 1, 1, True)
    answer = test_key.post(f"/machines/{machine}/actions/batch", batch | {"stop_on_error": False})
    assert steps_of(answer) == ([(True, None), failed, (True, None)], 2, 1, False)
    alone = test_key.post(f"/machines/{machine}/actions", {"command": "fail"}).json()
    assert (alone["success"], alone["error"]) == (False, "The action fail says that it failed.")


def test_code_comes_where_it_is_asked_for(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, *(click(640, 360, reasoning="I look.") for _ in range(5)))
    body = {"screenshot": shot(), "instruction": "Press OK"}
    session = live.post("/sessions", {}).json()["session_id"]
    for path in ("/predict", f"/sessions/{session}/predict"):
        found = live.post(path, body | {"include_raw_code": True, "include_reasoning": False}).json()
        (action,) = found["actions"]
        assert found["raw_code"] == [action["raw_code"]] == ["pyautogui.click(960, 540, clicks=1, button='left')"]
        assert found["reasoning"] is None
        plain = live.post(path, body).json()
        assert "raw_code" not in plain.keys() | plain["actions"][0].keys()
    step = {"screenshot": shot(), "actions": [action]}
    assert live.post("/predict", body | {"trajectory": [step]}).status_code == 200


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("click", {"x": 5, "y": 6, "button": "right", "count": 1}),
        ("click", {"x": 5, "y": 6, "button": "left", "count": 3}),
        ("move", {"x": 0, "y": 6}),
        ("scroll", {"x": 1, "y": 2, "direction": "down", "amount": 4}),
        ("scroll", {"x": 1, "y": 2, "direction": "left", "amount": 100}),
        ("scroll", {"x": 1, "y": 2, "direction": "right", "amount": 1}),
        ("type_text", {"text": "It's \"so\"\n; # ü \u202e\U0001f600 \\ \x7f')"}),
        ("key_press", {"key": "enter"}),
        ("key_combo", {"keys": ["ctrl", "shift", "a"]}),
        ("wait", {"ms": 12_345}),
        ("done", {}),
        ("fail", {"reason": ""}),
    ],
)
def test_code_is_one_line_that_is_read_back_as_the_same_action(name: str, params: dict[str, Any]) -> None:
    line = code_of(name, params)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert [(one["action_type"], one["params"]) for one in pyautogui.parse(line)] == [(name, params)]


def test_the_code_of_a_drag_moves_before_it_drags() -> None:
    line = code_of("drag", {"from_x": 1, "from_y": 2, "to_x": 3, "to_y": 4})
    assert [(one["action_type"], one["params"]) for one in pyautogui.parse(line)] == [
        ("move", {"x": 1, "y": 2}),
        ("drag", {"from_x": 1, "from_y": 2, "to_x": 3, "to_y": 4}),
    ]


def test_the_table_names_every_alias() -> None:
    page = (Path(installed.BASE_DIR) / "docs" / "api" / "aliases.md").read_text()
    named = set(re.findall(r"`([^`]+)`", page))
    assert named >= {f"{key}…" for key in aliases.KEYS} | {*aliases.HEADERS.values(), aliases.SIGNATURE}
