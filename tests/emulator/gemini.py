"""Gemini's generateContent: requests as its SDK's types and its documentation want them, answers as it gives them."""

import base64
import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jsonschema
from aiohttp import web
from google.genai import types
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from tests.emulator import story, strict
from tests.emulator.server import Call, Emulator
from tests.emulator.story import Json, Turn
from tests.emulator.strict import BrokenRuleError

GRID = 1000
STATUSES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}  # fmt: skip
STOPS = {
    "cut": "MAX_TOKENS",
    "refusal": "SAFETY",
    "malformed": "MALFORMED_FUNCTION_CALL",
    "unsigned": "MISSING_THOUGHT_SIGNATURE",
}
NEWER = frozenset({
    "click", "double_click", "triple_click", "middle_click", "right_click", "mouse_down", "mouse_up", "move", "type",
    "drag_and_drop", "wait", "press_key", "key_down", "key_up", "hotkey", "take_screenshot", "scroll",
})  # fmt: skip
BROWSING = frozenset({"navigate", "go_back", "go_forward"})
OLDER = frozenset({
    "open_web_browser", "wait_5_seconds", "search", "click_at", "hover_at", "type_text_at", "scroll_document", "scroll_at",
    "key_combination", "drag_and_drop", *BROWSING,
})  # fmt: skip


_FREE = frozenset({"args", "response", "parametersJsonSchema", "responseJsonSchema", "labels"})


class _Body(BaseModel):
    """What may stand in a request beside its contents."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)

    system_instruction: types.Content | None = None
    tools: list[types.Tool] | None = None
    tool_config: types.ToolConfig | None = None
    safety_settings: list[types.SafetySetting] | None = None
    generation_config: types.GenerationConfig | None = None
    labels: dict[str, str] | None = None


def routes(emulator: Emulator) -> list[web.RouteDef]:
    async def generate(request: web.Request) -> web.StreamResponse:
        return await _generate(await emulator.receive("gemini", request))

    return [web.post("/gemini/{version:v1[a-z0-9]*}/models/{model}:{method}", generate)]


async def _generate(call: Call) -> web.StreamResponse:
    call.body.json = _camel(call.json)
    method, body = call.request.match_info["method"], call.json
    if not call.lets_in(call.body.headers.get("x-goog-api-key")):
        return call.refuse(400, error(400, "API key not valid. Please pass a valid API key."))
    if method not in {"generateContent", "streamGenerateContent"}:
        return call.refuse(404, error(404, f"no method {method}"))
    try:
        check(body, call.emulator)
        turns = [content for content in body["contents"] if content.get("role") == "model"]
        due = call.due(_opening(body), len(turns), _kind(body))
    except (BrokenRuleError, story.OverError) as problem:
        return call.refuse(400, error(400, str(problem)))
    if due.turn.stop == "full":
        return call.refuse(
            400, error(400, "The input token count (1200000) exceeds the maximum number of tokens allowed.")
        )
    whole = answer(body, due, call.emulator)
    streams = list(events(whole)) if method == "streamGenerateContent" else None
    return await call.answer(due, whole, streams, error)


def _camel(value: Any) -> Any:
    """Names of fields may be written either way; the SDK does both in one request. What is the model's or ours stays as it is."""
    if isinstance(value, dict):
        return {to_camel(name): one if to_camel(name) in _FREE else _camel(one) for name, one in value.items()}
    return [_camel(one) for one in value] if isinstance(value, list) else value


def error(status: int, message: str) -> Json:
    return {"error": {"code": status, "message": message, "status": STATUSES.get(status, "UNKNOWN")}}


def check(body: Any, emulator: Emulator) -> None:
    """Raises BrokenRuleError."""
    if not isinstance(body, dict) or not isinstance(body.get("contents"), list) or not body["contents"]:
        raise BrokenRuleError("contents is not specified")
    for index, content in enumerate(body["contents"]):
        if wrong := _content_problem(json.dumps(content)):
            raise BrokenRuleError(f"contents[{index}]: {wrong}")
    if wrong := strict.problem(_Body, {name: value for name, value in body.items() if name != "contents"}):
        raise BrokenRuleError(wrong)
    if body["contents"][-1].get("role") != "user":
        raise BrokenRuleError("Please ensure that the last content is from the user.")
    _check_tools(body)
    _check_calls(body["contents"])
    for part in _holding(body["contents"], "inlineData"):
        if emulator.picture(part["inlineData"]["data"]) is None:
            raise BrokenRuleError("Unable to process input image.")


@lru_cache(maxsize=20_000)
def _content_problem(text: str) -> str | None:
    """Conversations grow at their end: what was looked at once is not looked at again."""
    content = json.loads(text)
    if content.get("role") not in {"user", "model"}:
        return "Please use a valid role: user, model."
    if not content.get("parts"):
        return "must include at least one parts field"
    if any(part == {"text": ""} for part in content["parts"]):
        return "parts[0].data: required oneof field 'data' must have one initialized field"
    return strict.problem(types.Content, content)


def _check_tools(body: Json) -> None:
    names: list[str] = []
    for tool in body.get("tools") or ():
        for function in tool.get("functionDeclarations") or ():
            names.append(function["name"])
            try:
                jsonschema.Draft202012Validator.check_schema(function.get("parametersJsonSchema") or {})
            except jsonschema.SchemaError as problem:
                raise BrokenRuleError(f"schema of {function['name']}: {problem.message}") from None
        computer = tool.get("computerUse")
        if computer:
            excluded = set(computer.get("excludedPredefinedFunctions") or ())
            if unknown := excluded - (NEWER | BROWSING) - OLDER:
                raise BrokenRuleError(f"excludedPredefinedFunctions: unknown {sorted(unknown)}")
            if computer.get("disabledSafetyPolicies"):
                raise BrokenRuleError("disabledSafetyPolicies must not be set")
            names += _offered(body)
    if len(names) > len(set(names)):
        raise BrokenRuleError(
            f"Duplicate function declaration found: {sorted({n for n in names if names.count(n) > 1})}"
        )


def _computer(body: Json) -> Json | None:
    found: Json | None = next(
        (tool["computerUse"] for tool in body.get("tools") or () if tool.get("computerUse")), None
    )
    return found


def _is_older(body: Json) -> bool:
    """The newer set has no click_at to exclude, and detects what pages try to say."""
    return not (_computer(body) or {}).get("enablePromptInjectionDetection")


def _offered(body: Json) -> list[str]:
    computer = _computer(body) or {}
    names = (
        OLDER
        if _is_older(body)
        else NEWER | (BROWSING if computer["environment"] == "ENVIRONMENT_BROWSER" else frozenset())
    )
    return sorted(names - set(computer.get("excludedPredefinedFunctions") or ()))


def _check_calls(contents: list[Json]) -> None:
    """Each content with calls is signed, and answered by as many responses in the same order."""
    for index, content in enumerate(contents):
        if content["role"] != "model":
            continue
        calls = [part for part in content["parts"] if "functionCall" in part]
        if not calls:
            continue
        if calls[0].get("thoughtSignature") != signature(calls):
            raise BrokenRuleError(
                f"contents[{index}]: Function call is missing a thought_signature in functionCall parts."
            )
        following = contents[index + 1]["parts"] if index + 1 < len(contents) else []
        responses = [part["functionResponse"] for part in following if "functionResponse" in part]
        if len(responses) != len(calls) or ["functionResponse" in part for part in following[: len(calls)]] != [
            True
        ] * len(calls):
            raise BrokenRuleError(
                "Please ensure that the number of function response parts is equal to the number of function call parts of the "
                f"function call turn: {len(responses)} and {len(calls)}."
            )
        for call, response in zip(calls, responses, strict=True):
            _check_response(index, call["functionCall"], response)
    for index, content in enumerate(contents):
        before = contents[index - 1] if index else {"role": "user", "parts": []}
        if any("functionResponse" in part for part in content["parts"]) and before["role"] != "model":
            raise BrokenRuleError(
                f"contents[{index}]: a function response turn comes immediately after a function call turn"
            )


def _check_response(index: int, call: Json, response: Json) -> None:
    if (response.get("id"), response.get("name")) != (call.get("id"), call["name"]):
        raise BrokenRuleError(f"contents[{index}]: the response to {call['name']} has another id or name")
    result = response.get("response") or {}
    acknowledged = result.get("safety_acknowledgement")
    if (call.get("args") or {}).get("safety_decision") and not acknowledged and "error" not in result:
        raise BrokenRuleError(f"contents[{index}]: the safety decision of {call['name']} was not acknowledged")
    if acknowledged and not (call.get("args") or {}).get("safety_decision"):
        raise BrokenRuleError(f"contents[{index}]: there is no safety decision to acknowledge")


def signature(calls: list[Json]) -> str:
    """Bound to what was said, so that nothing of it can be changed."""
    said = json.dumps([call["functionCall"] for call in calls], sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(said).digest()).decode()


def _holding(value: Any, name: str) -> Iterator[Json]:
    if isinstance(value, dict):
        if value.get(name):
            yield value
        for one in value.values():
            yield from _holding(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from _holding(one, name)


def _opening(body: Json) -> str:
    return " ".join(part.get("text", "") for part in body["contents"][0]["parts"])


def _kind(body: Json) -> str:
    if (body.get("generationConfig") or {}).get("responseJsonSchema"):
        return "schema"
    return "turns" if body.get("tools") else "words"


def answer(body: Json, due: story.Due, emulator: Emulator) -> Json:
    """The whole answer; what a turn has as `raw` is the candidate."""
    turn, (name, _, index) = due.turn, due.key
    candidate = turn.raw or _candidate(body, turn, f"{name}_{index}", emulator)
    whole: Json = {
        "candidates": [{"index": 0, **candidate}], "modelVersion": "emulated", "responseId": f"resp_{name}_{index}",
        "usageMetadata": {
            "promptTokenCount": 130, "candidatesTokenCount": 20, "thoughtsTokenCount": 30, "totalTokenCount": 180,
            "cachedContentTokenCount": 100,
        },
    }  # fmt: skip
    if turn.stop == "blocked":
        whole |= {"candidates": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    assert not (wrong := strict.problem(types.GenerateContentResponse, whole)), wrong
    return whole


def _candidate(body: Json, turn: Turn, tag: str, emulator: Emulator) -> Json:
    if turn.stop in {"refusal", "malformed", "unsigned"}:
        said = {"content": {"role": "model", "parts": [{"text": turn.text}]}} if turn.text else {}
        return {**said, "finishReason": STOPS[turn.stop]}
    parts: list[Json] = [{"text": turn.thinking, "thought": True}] if turn.thinking else []
    parts += [{"text": turn.text}] if turn.text else []
    calls = [_call(body, name, params, f"{tag}_{number}", emulator) for number, (name, params) in enumerate(turn.wants)]
    if calls and turn.checks:
        decision = {
            "decision": turn.checks[0].get("code", "require_confirmation"),
            "explanation": turn.checks[0]["message"],
        }
        calls[0]["functionCall"]["args"]["safety_decision"] = decision
    if calls:
        calls[0]["thoughtSignature"] = signature(calls)
    return {"content": {"role": "model", "parts": [*parts, *calls]}, "finishReason": STOPS.get(turn.stop, "STOP")}


def _call(body: Json, name: str, params: Json, call_id: str, emulator: Emulator) -> Json:
    declared = {one["name"] for tool in body.get("tools") or () for one in tool.get("functionDeclarations") or ()}
    function, args = (
        (name, params) if name in declared else _said(name, _placed(params, body, emulator), older=_is_older(body))
    )
    if function not in declared:
        assert function in _offered(body), f"{function} is not offered"
        args = args if _is_older(body) else {**args, "intent": f"I want to {name}."}
    return {"functionCall": {"id": call_id, "name": function, "args": args}}


def _placed(params: Json, body: Json, emulator: Emulator) -> Json:
    pictures = [emulator.picture(part["inlineData"]["data"]) for part in _holding(body["contents"], "inlineData")]
    newest = pictures[-1] if pictures else None
    placed = dict(params)
    for x, y in (("x", "y"), ("from_x", "from_y"), ("to_x", "to_y")):
        if x in placed:
            assert newest, "no picture to point at"
            placed |= {x: round(placed[x] * GRID / newest.width), y: round(placed[y] * GRID / newest.height)}
    return placed


def _said(name: str, params: Json, *, older: bool) -> tuple[str, Json]:
    at = {"x": params["x"], "y": params["y"]} if "x" in params else {}
    if name == "click":
        counts = {2: "double_click", 3: "triple_click"}
        buttons = {"right": "right_click", "middle": "middle_click"}
        newer = buttons.get(params.get("button", "")) or counts.get(params.get("count", 1)) or "click"
        return ("click_at" if older else newer), at
    if name == "scroll":
        if older:
            return "scroll_at", {**at, "direction": params["direction"], "magnitude": params["amount"] * 125}
        return "scroll", {**at, "direction": params["direction"], "magnitude_in_pixels": params["amount"] * 100}
    if name == "drag":
        ends = ("x", "y", "destination_x", "destination_y") if older else ("start_x", "start_y", "end_x", "end_y")
        return "drag_and_drop", dict(
            zip(ends, (params[one] for one in ("from_x", "from_y", "to_x", "to_y")), strict=True)
        )
    if older and name in {"key_press", "key_combo"}:
        return "key_combination", {"keys": "+".join(params.get("keys") or [params["key"]])}
    plain: dict[str, tuple[str, Json]] = {
        "type_text": ("type", {"text": params.get("text")}),
        "key_press": ("press_key", {"key": params.get("key")}),
        "key_combo": ("hotkey", {"keys": params.get("keys")}),
        "move": ("hover_at" if older else "move", at),
        "wait": ("wait_5_seconds", {}) if older else ("wait", {"seconds": params.get("ms", 0) / 1000}),
        "screenshot": ("open_web_browser" if older else "take_screenshot", {}),
        "open_url": ("navigate", {"url": params.get("url")}),
        "go_back": ("go_back", {}),
    }
    return plain.get(name, (name, params))


def events(whole: Json) -> Iterator[bytes]:
    """The answer as a stream: each part in a chunk of its own, texts in two; how it ended comes last."""
    head = {name: whole[name] for name in ("modelVersion", "responseId")}
    for candidate in whole["candidates"]:
        content = candidate.get("content") or {"role": "model", "parts": []}
        for part in (piece for one in content["parts"] for piece in _pieces(one)):
            yield _event({**head, "candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}]})
    last = [
        {name: value for name, value in candidate.items() if name != "content"} for candidate in whole["candidates"]
    ]
    rest = {name: value for name, value in whole.items() if name != "candidates"}
    yield _event({**rest, **({"candidates": last} if last else {})})


def _pieces(part: Json) -> list[Json]:
    text = part.get("text", "")
    return (
        [{**part, "text": text[: len(text) // 2]}, {**part, "text": text[len(text) // 2 :]}]
        if len(text) > 1
        else [part]
    )


def _event(chunk: Json) -> bytes:
    assert not (wrong := strict.problem(types.GenerateContentResponse, chunk)), wrong
    return f"data: {json.dumps(chunk)}\r\n\r\n".encode()
