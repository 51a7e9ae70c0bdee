"""Anthropic Messages: requests as its SDK's types and its documentation want them, answers as it gives them."""

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from aiohttp import web
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from anthropic.types.beta.beta_message_param import BetaMessageParam
from anthropic.types.beta.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming

from tests.emulator import story, strict
from tests.emulator.server import Call, Emulator
from tests.emulator.story import Json, Turn
from tests.emulator.strict import BrokenRuleError

BINDING_BETA = "thinking-binding-controls-2026-08-01"
OLDER_BETA = "computer-use-2025-11-24"
LARGEST_SIDE = 1568  # pixels
MOST_MARKS = 4
KINDS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error",
}  # fmt: skip
STOPS = {"cut": "max_tokens", "refusal": "refusal", "paused": "pause_turn", "full": "model_context_window_exceeded"}


def routes(emulator: Emulator) -> list[web.RouteDef]:
    async def messages(request: web.Request) -> web.StreamResponse:
        return await _messages(await emulator.receive("anthropic", request))

    return [web.post("/anthropic/v1/messages", messages)]


async def _messages(call: Call) -> web.StreamResponse:
    headers, body = call.body.headers, call.json
    key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
    if not key or not call.lets_in(key):
        return call.refuse(401, error(401, "invalid x-api-key"))
    try:
        check(body, headers, call.emulator)
        dropped = _unbound(body, headers)
        turns = [message for message in body["messages"] if message["role"] == "assistant"]
        kind = "schema" if body.get("output_config", {}).get("format") else "turns" if body.get("tools") else "words"
        due = call.due(_opening(body), len(turns), kind)
    except (BrokenRuleError, story.OverError) as problem:
        return call.refuse(400, error(400, str(problem)))
    message = answer(body, due)
    if BINDING_BETA in headers.get("anthropic-beta", ""):
        message["input_transformations"] = dropped
    assert not (wrong := strict.problem(BetaMessage, message)), wrong
    stream = list(events(message, cut=due.turn.stop == "cut")) if body.get("stream") else None
    return await call.answer(due, message, stream, error, {"request-id": f"req_{message['id']}"})


def error(status: int, message: str) -> Json:
    kind = KINDS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_error"}


def check(body: Any, headers: dict[str, str], emulator: Emulator) -> None:
    """Raises BrokenRuleError."""
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
        raise BrokenRuleError("messages: Field required")
    for index, message in enumerate(body["messages"]):
        if wrong := _message_problem(json.dumps(message)):
            raise BrokenRuleError(f"messages.{index}: {wrong}")
    plain = {**body, "messages": []}
    streams = bool(plain.pop("stream", False))
    whole = {**plain, "stream": True} if streams else plain
    if wrong := strict.problem(MessageCreateParamsStreaming if streams else MessageCreateParamsNonStreaming, whole):
        raise BrokenRuleError(wrong)
    if headers.get("anthropic-version") is None:
        raise BrokenRuleError("anthropic-version: header is required")
    _check_tools(body, headers)
    _check_calls(body["messages"])
    if sum(1 for _ in _holding(body, "cache_control")) > MOST_MARKS:
        raise BrokenRuleError(f"A maximum of {MOST_MARKS} blocks with cache_control may be provided.")
    for image in _blocks(body["messages"], "image"):
        _check_image(image, emulator)


@lru_cache(maxsize=20_000)
def _message_problem(text: str) -> str | None:
    """Conversations grow at their end: what was looked at once is not looked at again."""
    message = json.loads(text)
    if message.get("role") == "assistant" and not message.get("content"):
        return "all messages must have non-empty content"
    return strict.problem(BetaMessageParam, message)


def _check_tools(body: Json, headers: dict[str, str]) -> None:
    tools = body.get("tools") or []
    kinds = [tool.get("type") for tool in tools]
    if "computer_20251124" in kinds and OLDER_BETA not in headers.get("anthropic-beta", ""):
        raise BrokenRuleError(f"tools: computer_20251124 needs the beta {OLDER_BETA}")
    names = [tool["name"] for tool in tools if "name" in tool]
    if len(names) != len(set(names)):
        raise BrokenRuleError("tools: Tool names must be unique.")
    if body.get("thinking", {}).get("block_binding") and BINDING_BETA not in headers.get("anthropic-beta", ""):
        raise BrokenRuleError(f"thinking.block_binding needs the beta {BINDING_BETA}")


def _check_calls(messages: list[Json]) -> None:
    """Every tool_use is answered in the next user message, and nothing else is."""
    uses: dict[str, Json] = {}
    for index, message in enumerate(messages):
        content = message["content"] if isinstance(message["content"], list) else []
        results = [block for block in content if block["type"] == "tool_result"]
        if message["role"] == "assistant" and uses:
            raise BrokenRuleError(
                f"messages.{index}: tool_use ids were found without tool_result blocks: {sorted(uses)}"
            )
        if message["role"] == "assistant":
            uses = {block["id"]: block for block in content if block["type"] == "tool_use"}
            continue
        if message["role"] == "system":
            continue
        answered = [block["tool_use_id"] for block in results]
        if sorted(answered) != sorted(uses):
            raise BrokenRuleError(
                f"messages.{index}: tool_use and tool_result ids differ: {sorted({*answered} ^ {*uses})}"
            )
        if results and content[: len(results)] != results:
            raise BrokenRuleError(f"messages.{index}: tool_result blocks must come first")
        for block in results:
            _check_result(index, block, uses[block["tool_use_id"]])
        uses = {}
    if uses:
        raise BrokenRuleError(f"tool_use ids were found without tool_result blocks: {sorted(uses)}")


def _check_result(index: int, result: Json, use: Json) -> None:
    if result.get("toolset_name") != use.get("toolset_name"):
        raise BrokenRuleError(f"messages.{index}: toolset_name of a tool_result must be that of its tool_use")
    content = result.get("content") or []
    if result.get("is_error") and any(block["type"] != "text" for block in content if isinstance(block, dict)):
        raise BrokenRuleError(f"messages.{index}: all content must be type text if is_error is true")


def _check_image(image: Json, emulator: Emulator) -> None:
    if image.get("transformations") != {"oversized_image": "error"}:
        raise BrokenRuleError("image: without transformations.oversized_image error it might be made smaller silently")
    picture = emulator.picture(image["source"]["data"])
    if picture is None:
        raise BrokenRuleError("image: Could not process image")
    if max(picture.width, picture.height) > LARGEST_SIDE:
        raise BrokenRuleError(
            f"image: {picture.width}x{picture.height} exceeds the maximum size; at most {LARGEST_SIDE} pixels fit"
        )


def _unbound(body: Json, headers: dict[str, str]) -> list[Json]:
    """Thoughts whose signature does not fit what stands before them. Raises BrokenRuleError unless they are to be dropped."""
    how = ((body.get("thinking") or {}).get("block_binding") or {}).get("prefix_mismatch_behavior", "error")
    dropped: list[Json] = []
    for index, signature in list(_signatures(body))[:-1]:
        content = body["messages"][index]["content"]
        for place, block in enumerate(content if isinstance(content, list) else []):
            if block["type"] != "thinking" or block["signature"] == signature:
                continue
            path = f"messages.{index}.content.{place}"
            if how != "drop_block":
                raise BrokenRuleError(f"{path}: this thinking block is bound to a different conversation")
            dropped.append({"type": "thinking_dropped", "path": path, "reason": "prefix_binding_mismatch"})
    return dropped


def _signatures(body: Json) -> Iterator[tuple[int, str]]:
    """(index of a message of the model or of the next one, the signature that its thoughts have)."""
    digest = hashlib.sha256(json.dumps(_unmarked([body.get("system"), body.get("tools")])).encode())
    for index, message in enumerate([*body["messages"], {"role": "assistant"}]):
        if message["role"] == "assistant":
            yield index, f"sig_{digest.hexdigest()}"
        digest.update(json.dumps(_unmarked(message)).encode())


def _unmarked(value: Any) -> Any:
    """Marks of the cache are no part of the conversation."""
    if isinstance(value, dict):
        return {name: _unmarked(one) for name, one in value.items() if name != "cache_control"}
    return [_unmarked(one) for one in value] if isinstance(value, list) else value


def _holding(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, dict):
        if value.get(name):
            yield value
        for one in value.values():
            yield from _holding(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from _holding(one, name)


def _blocks(value: Any, kind: str) -> Iterator[Json]:
    return (one for one in _holding(value, "type") if one["type"] == kind)


def _opening(body: Json) -> str:
    content = body["messages"][0]["content"]
    texts = [content] if isinstance(content, str) else [block.get("text", "") for block in content]
    return " ".join(texts)


def answer(body: Json, due: story.Due) -> Json:
    turn, (name, _, index) = due.turn, due.key
    content = turn.raw if turn.raw is not None else list(_content(turn, f"{name}_{index}", body))
    calls = any(block["type"] == "tool_use" for block in content)
    if turn.stop == "refusal":
        content = []
    refusal = {"type": "refusal", "category": "cyber", "explanation": turn.text or "This could do harm."}
    signature = list(_signatures(body))[-1][1]
    return {
        "id": f"msg_{name}_{index}", "type": "message", "role": "assistant", "model": body["model"],
        "content": [{**block, "signature": signature} if block["type"] == "thinking" else block for block in content],
        "stop_reason": STOPS.get(turn.stop, "tool_use" if calls else "end_turn"), "stop_sequence": None,
        "stop_details": refusal if turn.stop == "refusal" else None,
        "usage": {
            "input_tokens": 10, "output_tokens": 50, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 20,
            "output_tokens_details": {"thinking_tokens": 30},
        },
    }  # fmt: skip


def _content(turn: Turn, tag: str, body: Json) -> Iterator[Json]:
    if turn.thinking:
        yield {"type": "thinking", "thinking": turn.thinking, "signature": ""}
    if turn.text:
        yield {"type": "text", "text": turn.text}
    older = any(tool.get("type") == "computer_20251124" for tool in body.get("tools") or ())
    for number, (name, params) in enumerate(turn.wants):
        use = {"type": "tool_use", "id": f"toolu_{tag}_{number}", "caller": {"type": "direct"}}
        member = said(name, params)
        if member is None:
            yield {**use, "name": name, "input": params}
        elif older:
            yield {**use, "name": "computer", "input": {"action": member[0], **member[1]}}
        else:
            yield {**use, "name": member[0], "input": member[1], "toolset_name": "computer"}


def said(name: str, params: Json) -> tuple[str, Json] | None:
    """A canonical action as a member of the toolset; None for a function."""
    at = {"coordinate": [params["x"], params["y"]]} if "x" in params else {}
    if name == "click":
        buttons = {"right": "right_click", "middle": "middle_click"}
        counts = {2: "double_click", 3: "triple_click"}
        return buttons.get(params.get("button", "")) or counts.get(params.get("count", 1)) or "left_click", at
    if name == "scroll":
        return "scroll", {**at, "scroll_direction": params["direction"], "scroll_amount": params["amount"]}
    if name == "drag":
        start = [params["from_x"], params["from_y"]]
        return "left_click_drag", {"start_coordinate": start, "coordinate": [params["to_x"], params["to_y"]]}
    plain: dict[str, tuple[str, Json]] = {
        "type_text": ("type", {"text": params.get("text")}),
        "key_press": ("key", {"text": params.get("key")}),
        "key_combo": ("key", {"text": "+".join(params.get("keys", ()))}),
        "move": ("mouse_move", at),
        "wait": ("wait", {"duration": params.get("ms", 0) // 1000}),
        "screenshot": ("screenshot", {}),
        "zoom": ("zoom", {"region": params.get("region")}),
    }
    return plain.get(name)


def events(message: Json, *, cut: bool = False) -> Iterator[bytes]:
    """The message as a stream. `cut`: the input of its last call ends in the middle."""
    begun = {**message, "content": [], "stop_reason": None, "stop_details": None}
    begun["usage"] = {**message["usage"], "output_tokens": 1}
    yield _event({"type": "message_start", "message": begun})
    yield _event({"type": "ping"})
    for index, block in enumerate(message["content"]):
        start, deltas = _parts(block, cut=cut and index == len(message["content"]) - 1)
        yield _event({"type": "content_block_start", "index": index, "content_block": start})
        for delta in deltas:
            yield _event({"type": "content_block_delta", "index": index, "delta": delta})
        yield _event({"type": "content_block_stop", "index": index})
    delta = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details")}
    yield _event(
        {"type": "message_delta", "delta": delta, "usage": {"output_tokens": message["usage"]["output_tokens"]}}
    )
    yield _event({"type": "message_stop"})


def _parts(block: Json, *, cut: bool) -> tuple[Json, list[Json]]:
    if block["type"] == "text":
        half = len(block["text"]) // 2
        pieces = [piece for piece in (block["text"][:half], block["text"][half:]) if piece]
        return {**block, "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]
    if block["type"] == "thinking":
        deltas = [
            {"type": "thinking_delta", "thinking": block["thinking"]},
            {"type": "signature_delta", "signature": block["signature"]},
        ]
        return {**block, "thinking": "", "signature": ""}, deltas
    if block["type"] == "tool_use":
        text = json.dumps(block["input"])
        pieces = [text[:7], text[7 : len(text) // 2 if cut else None]]
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return block, []


def _event(event: Json) -> bytes:
    if event["type"] != "ping":
        assert not (wrong := strict.problem(BetaRawMessageStreamEvent, event)), wrong
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
