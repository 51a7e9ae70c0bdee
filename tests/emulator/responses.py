"""OpenAI Responses: requests as its SDK's types and its documentation want them, answers as it gives them.

Beside the ends of every wire a turn's `stop` may be filter (content_filter) or failed:<code of the error>.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from aiohttp import web
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from openai.types.responses.response_input_param import ResponseInputItemParam

from tests.emulator import story, strict
from tests.emulator.server import Call, Emulator
from tests.emulator.story import Json, Turn
from tests.emulator.strict import BrokenRuleError

CALLS = ("computer_call", "function_call")
KINDS = {
    401: ("invalid_request_error", "invalid_api_key"), 404: ("invalid_request_error", "model_not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}  # fmt: skip


def routes(emulator: Emulator) -> list[web.RouteDef]:
    async def responses(request: web.Request) -> web.StreamResponse:
        return await _responses(await emulator.receive("openai", request))

    return [web.post("/openai/v1/responses", responses)]


async def _responses(call: Call) -> web.StreamResponse:
    body = call.json
    key = call.body.headers.get("authorization", "").removeprefix("Bearer ")
    if not key or not call.lets_in(key):
        return call.refuse(401, error(401, "Incorrect API key provided."))
    try:
        check(body, call.emulator)
        kind = "schema" if body.get("text", {}).get("format") else "turns" if body.get("tools") else "words"
        due = call.due(_opening(body), _answers(body["input"]), kind)
    except (BrokenRuleError, story.OverError) as problem:
        return call.refuse(400, error(400, str(problem)))
    if due.turn.stop == "full":
        too_long = {"type": "invalid_request_error", "code": "context_length_exceeded", "param": "input"}
        return call.refuse(
            400, {"error": {**too_long, "message": "Your input exceeds the context window of this model."}}
        )
    response = answer(body, due)
    assert not (wrong := strict.problem(Response, response)), wrong
    stream = list(events(response)) if body.get("stream") else None
    return await call.answer(due, response, stream, error, {"x-request-id": f"req_{response['id']}"})


def error(status: int, message: str) -> Json:
    kind, code = KINDS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    return {"error": {"type": kind, "code": code, "message": message, "param": None}}


def check(body: Any, emulator: Emulator) -> None:
    """Raises BrokenRuleError."""
    if not isinstance(body, dict) or not isinstance(body.get("input"), list) or not body["input"]:
        raise BrokenRuleError("input: Field required")
    for index, item in enumerate(body["input"]):
        if wrong := _item_problem(json.dumps(item)):
            raise BrokenRuleError(f"input[{index}]: {wrong}")
    plain = {**body, "input": []}
    kind = ResponseCreateParamsStreaming if body.get("stream") else ResponseCreateParamsNonStreaming
    if wrong := strict.problem(kind, plain):
        raise BrokenRuleError(wrong)
    if body.get("previous_response_id"):
        raise BrokenRuleError("previous_response_not_found: there is no such stored response")
    _check_tools(body)
    _check_groups(body["input"])
    _check_outputs(body["input"], emulator)
    for item in body["input"]:
        _check_pictures(item, emulator)


@lru_cache(maxsize=20_000)
def _item_problem(text: str) -> str | None:
    """Conversations grow at their end: what was looked at once is not looked at again."""
    return strict.problem(ResponseInputItemParam, json.loads(text))


def _check_tools(body: Json) -> None:
    tools = body.get("tools") or []
    if any(tool["type"] == "computer_use_preview" for tool in tools) and body.get("truncation") != "auto":
        raise BrokenRuleError("computer_use_preview needs truncation auto")
    for tool in tools:
        if tool["type"] == "function" and tool["strict"] and not _is_strict(tool["parameters"]):
            raise BrokenRuleError(f"Invalid schema for function {tool['name']}: not strict")


def _is_strict(schema: Json) -> bool:
    if schema.get("type") != "object":
        return True
    whole = schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(schema["properties"])
    return whole and all(map(_is_strict, schema["properties"].values()))


def _is_models(item: Json) -> bool:
    return item.get("type") in {*CALLS, "reasoning"} or (
        item.get("type") == "message" and item.get("role") == "assistant"
    )


def _groups(items: list[Json]) -> Iterator[list[Json]]:
    """What the model sent at once, each time."""
    group: list[Json] = []
    for item in [*items, {}]:
        if _is_models(item):
            group.append(item)
        elif group:
            yield group
            group = []


def _answers(items: list[Json]) -> int:
    return sum(1 for _ in _groups(items))


def _check_groups(items: list[Json]) -> None:
    """Reasoning stands before what came of it, unchanged, and not alone."""
    for group in _groups(items):
        thoughts = {item["id"]: item for item in group if item["type"] == "reasoning"}
        for item in group:
            tag = str(item.get("id", "")).split("_", 1)[-1].rsplit("_", 1)[0]
            thought = thoughts.get(f"rs_{tag}_0")
            if item["type"] in CALLS and thought is None:
                raise BrokenRuleError(
                    f"Item '{item['id']}' of type '{item['type']}' was provided without its required 'reasoning' item."
                )
            if thought and thought.get("encrypted_content") != _encrypted(tag):
                raise BrokenRuleError(f"The encrypted content of '{thought['id']}' could not be verified.")
        if group[-1]["type"] == "reasoning":
            raise BrokenRuleError(
                f"Item '{group[-1]['id']}' of type 'reasoning' was provided without its required following item."
            )


def _encrypted(tag: str) -> str:
    return "gAAAA" + hashlib.sha256(tag.encode()).hexdigest()


def _check_outputs(items: list[Json], emulator: Emulator) -> None:
    """Every call has one output, of its kind, after it; its safety checks are acknowledged, or the refusal is told."""
    open_calls: dict[str, Json] = {}
    for index, item in enumerate(items):
        kind = item.get("type")
        if kind in CALLS:
            open_calls[item["call_id"]] = item
        elif kind in {f"{one}_output" for one in CALLS}:
            call = open_calls.pop(item["call_id"], None)
            if call is None or kind != f"{call['type']}_output":
                raise BrokenRuleError(f"input[{index}]: No tool call found for output with call_id {item['call_id']}.")
            _check_acknowledged(call, item, items[index + 1 :], emulator)
        elif open_calls:
            raise BrokenRuleError(f"input[{index}]: No tool output found for {sorted(open_calls)}.")
    if open_calls:
        raise BrokenRuleError(f"No tool output found for {sorted(open_calls)}.")


def _check_acknowledged(call: Json, output: Json, after: list[Json], emulator: Emulator) -> None:
    pending = call.get("pending_safety_checks") or []
    acknowledged = output.get("acknowledged_safety_checks") or []
    if acknowledged and acknowledged != pending:
        raise BrokenRuleError("acknowledged_safety_checks: these are not the checks of the call")
    following = next((item for item in after if item.get("type") not in {f"{one}_output" for one in CALLS}), {})
    if pending and not acknowledged and (emulator.strict_checks or following.get("role") != "user"):
        raise BrokenRuleError(f"Safety checks not acknowledged: {[check['id'] for check in pending]}")


def _check_pictures(item: Json, emulator: Emulator) -> None:
    content = item.get("content")
    urls = [part["image_url"] for part in content if part["type"] == "input_image"] if isinstance(content, list) else []
    if item.get("type") == "computer_call_output":
        urls.append(item["output"].get("image_url", ""))
    for url in urls:
        if emulator.picture(url) is None:
            raise BrokenRuleError("invalid_image: The image data you provided does not represent a valid image.")


def _opening(body: Json) -> str:
    content = body["input"][0].get("content", "")
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def answer(body: Json, due: story.Due) -> Json:
    turn, (name, kind, index) = due.turn, due.key
    tag = f"{name}.{kind}.{index}"
    items = turn.raw if turn.raw is not None else list(_items(turn, tag))
    status, details, failure = "completed", None, None
    if turn.stop in {"cut", "filter"}:
        reason = "max_output_tokens" if turn.stop == "cut" else "content_filter"
        status, details, items = "incomplete", {"reason": reason}, _cut(items)
    elif turn.stop.startswith("failed:"):
        failure = {"code": turn.stop.removeprefix("failed:"), "message": turn.text or "It failed."}
        status, items = "failed", []
    elif turn.stop == "refusal":
        items = [_message(tag, {"type": "refusal", "refusal": turn.text or "I cannot help with that."})]
    return {
        "id": f"resp_{tag}", "object": "response", "created_at": 1_795_000_000, "model": body["model"], "status": status,
        "incomplete_details": details, "error": failure, "output": items, "instructions": body.get("instructions"),
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": body.get("tools") or [], "metadata": {},
        "temperature": 1.0, "top_p": 1.0,
        "usage": {
            "input_tokens": 130, "output_tokens": 50, "total_tokens": 180,
            "input_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20},
            "output_tokens_details": {"reasoning_tokens": 30},
        },
    }  # fmt: skip


def _cut(items: list[Json]) -> list[Json]:
    if not items:
        return items
    last = {**items[-1], "status": "incomplete"}
    if last["type"] == "function_call":
        last["arguments"] = last["arguments"][: len(last["arguments"]) // 2]
    return [*items[:-1], last]


def _message(tag: str, part: Json) -> Json:
    return {"type": "message", "id": f"msg_{tag}_0", "role": "assistant", "status": "completed", "content": [part]}


def _items(turn: Turn, tag: str) -> Iterator[Json]:
    summary = [{"type": "summary_text", "text": turn.thinking}] if turn.thinking else []
    yield {"type": "reasoning", "id": f"rs_{tag}_0", "summary": summary, "encrypted_content": _encrypted(tag)}
    if turn.text or not turn.wants:
        yield _message(tag, {"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []})
    checks = [dict(check) for check in turn.checks]
    batch: list[Json] = []
    for number, (name, params) in enumerate([*turn.wants, ("", {})]):
        action = said(name, params) if name else None
        if action:
            batch.append(action)
            continue
        if batch:
            yield {
                "type": "computer_call", "id": f"cc_{tag}_{number}", "call_id": f"call_{tag}_{number}_c",
                "status": "completed", "pending_safety_checks": checks, "actions": batch,
            }  # fmt: skip
            batch, checks = [], []
        if name:
            yield {
                "type": "function_call", "id": f"fc_{tag}_{number}", "call_id": f"call_{tag}_{number}", "name": name,
                "arguments": json.dumps(params), "status": "completed",
            }  # fmt: skip


def said(name: str, params: Json) -> Json | None:
    """A canonical action as one of the computer tool; None for a function."""
    at = {"x": params["x"], "y": params["y"]} if "x" in params else {}
    if name == "click" and params.get("count", 1) == 2:
        return {"type": "double_click", **at, "keys": None}
    if name == "click":
        button = {"middle": "wheel"}.get(params.get("button", "left"), params.get("button", "left"))
        return {"type": "click", "button": button, **at}
    if name == "scroll":
        away = params["amount"] * 100 * (-1 if params["direction"] in {"up", "left"} else 1)
        across = params["direction"] in {"left", "right"}
        return {"type": "scroll", **at, "scroll_x": away if across else 0, "scroll_y": 0 if across else away}
    if name == "drag":
        path = [{"x": params["from_x"], "y": params["from_y"]}, {"x": params["to_x"], "y": params["to_y"]}]
        return {"type": "drag", "path": path}
    plain: dict[str, Json] = {
        "type_text": {"type": "type", "text": params.get("text")},
        "key_press": {"type": "keypress", "keys": [str(params.get("key")).upper()]},
        "key_combo": {"type": "keypress", "keys": [key.upper() for key in params.get("keys", ())]},
        "move": {"type": "move", **at},
        "wait": {"type": "wait"},
        "screenshot": {"type": "screenshot"},
        "zoom": {"type": "screenshot"},
    }
    return plain.get(name)


def events(response: Json) -> Iterator[bytes]:
    """The response as a stream."""
    number = 0

    def event(kind: str, **facts: Any) -> bytes:
        nonlocal number
        value = {"type": kind, "sequence_number": number, **facts}
        number += 1
        assert not (wrong := strict.problem(ResponseStreamEvent, value)), wrong
        return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()

    begun = {
        **response,
        "status": "in_progress",
        "output": [],
        "usage": None,
        "error": None,
        "incomplete_details": None,
    }
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for index, item in enumerate(response["output"]):
        yield event("response.output_item.added", output_index=index, item=_begun(item))
        for kind, facts in _deltas(item):
            yield event(kind, output_index=index, item_id=item["id"], **facts)
        yield event("response.output_item.done", output_index=index, item=item)
    yield event(f"response.{response['status']}", response=response)


def _begun(item: Json) -> Json:
    if item["type"] == "reasoning":
        return {**item, "summary": [], "encrypted_content": "incomplete"}
    empty = {"message": {"content": []}, "function_call": {"arguments": ""}}.get(item["type"], {})
    return {**item, **empty, "status": "in_progress"}


def _deltas(item: Json) -> Iterator[tuple[str, Json]]:
    if item["type"] == "function_call":
        half = len(item["arguments"]) // 2
        for piece in (item["arguments"][:half], item["arguments"][half:]):
            yield "response.function_call_arguments.delta", {"delta": piece}
        yield "response.function_call_arguments.done", {"arguments": item["arguments"]}
    elif item["type"] == "message" and item["content"][0]["type"] == "output_text":
        part = item["content"][0]
        yield "response.content_part.added", {"content_index": 0, "part": {**part, "text": ""}}
        yield "response.output_text.delta", {"content_index": 0, "delta": part["text"], "logprobs": []}
        yield "response.output_text.done", {"content_index": 0, "text": part["text"], "logprobs": []}
        yield "response.content_part.done", {"content_index": 0, "part": part}
