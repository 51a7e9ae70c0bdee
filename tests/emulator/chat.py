"""Chat completions, as strict servers take them: the SDK's types, and what the templates of models make of a conversation.

How a story's wants are said is read from the request: tools of the vendor's form, a schema, or the language that the system
prompt describes; and whether points are 0-1000 or pixels. The name of the model says how its server is: words of MODELS.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
from aiohttp import web
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from tests.emulator import spoken, story, strict
from tests.emulator.server import Call, Emulator
from tests.emulator.story import Json, Turn
from tests.emulator.strict import BrokenRuleError

# What the name of a model may hold: its server does so.
MODELS = {
    "sees-in-tools": "takes pictures in tool messages",
    "thinks-back": "takes the fields of reasoning back",
    "never-streams": "answers with the whole whatever was asked for",
    "counts-nothing": "has no usage",
}
REASONING = ("reasoning_content", "reasoning", "reasoning_details")
FINISHES = {"cut": "length", "filter": "content_filter"}
SAMPLE = {"prompt_tokens": 130, "completion_tokens": 50, "total_tokens": 180}
DETAILS = {"prompt_tokens_details": {"cached_tokens": 100}, "completion_tokens_details": {"reasoning_tokens": 30}}


def routes(emulator: Emulator) -> list[web.RouteDef]:
    async def completions(request: web.Request) -> web.StreamResponse:
        return await _completions(await emulator.receive("compatible", request))

    return [web.post("/compatible/v1/chat/completions", completions)]


async def _completions(call: Call) -> web.StreamResponse:
    body = call.json
    key = call.body.headers.get("authorization", "").removeprefix("Bearer ") or None
    if not call.lets_in(key):
        return call.refuse(401, error(401, "Incorrect API key provided."))
    try:
        check(body, call.emulator)
        answers = sum(message["role"] == "assistant" for message in body["messages"])
        due = call.due(opening(body), answers, kind_of(body))
    except (BrokenRuleError, story.OverError) as problem:
        return call.refuse(400, error(400, str(problem)))
    if due.turn.stop == "full":
        problem_body = error(400, "This model's maximum context length is 8192 tokens.")
        problem_body["error"]["code"] = "context_length_exceeded"
        return call.refuse(400, problem_body)
    whole = answer(body, due, call.emulator)
    streams = body.get("stream") and "never-streams" not in body["model"]
    return await call.answer(
        due, whole, list(events(whole, body)) if streams else None, error, {"x-request-id": whole["id"]}
    )


def error(status: int, message: str) -> Json:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def check(body: Any, emulator: Emulator) -> None:
    """Raises BrokenRuleError."""
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
        raise BrokenRuleError("messages: Field required")
    kind = CompletionCreateParamsStreaming if body.get("stream") else CompletionCreateParamsNonStreaming
    if wrong := strict.problem(kind, _typed(body)):
        raise BrokenRuleError(wrong)
    _check_turns(body["messages"])
    _check_calls(body["messages"])
    for message in body["messages"]:
        _check_pictures(message, body["model"], emulator)
    for schema in (*(tool["function"]["parameters"] for tool in body.get("tools", ())), _schema_of(body) or {}):
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as problem:
            raise BrokenRuleError(f"schema: {problem.message}") from None


def _typed(body: Json) -> Json:
    """Without what only some servers take, if this one does."""
    messages = []
    for message in body["messages"]:
        plain = dict(message)
        if "thinks-back" in body["model"] and message.get("role") == "assistant":
            plain = {name: value for name, value in plain.items() if name not in REASONING}
        if "sees-in-tools" in body["model"] and message.get("role") == "tool" and isinstance(message["content"], list):
            plain["content"] = [part for part in message["content"] if part["type"] == "text"]
        messages.append(plain)
    return {**body, "messages": messages}


def _check_turns(messages: list[Json]) -> None:
    before = ""
    for index, message in enumerate(messages):
        role = message["role"]
        if role == "system" and index:
            raise BrokenRuleError(f"messages.{index}: System message must be at the beginning.")
        if role == "user" and before == "user":
            raise BrokenRuleError(f"messages.{index}: Conversation roles must alternate user/assistant.")
        if not message.get("content") and not message.get("tool_calls"):
            raise BrokenRuleError(f"messages.{index}: content must not be empty")
        before = role
    if before not in {"user", "tool"}:
        raise BrokenRuleError("The last message must be from the user or a tool.")


def _check_calls(messages: list[Json]) -> None:
    """Every call is answered right after it, once; arguments can be put into a template."""
    pending: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message["tool_call_id"] not in pending:
                raise BrokenRuleError(f"messages.{index}: tool message without a preceding tool call of this id")
            pending.remove(message["tool_call_id"])
            continue
        if pending:
            raise BrokenRuleError(
                f"messages.{index}: tool_call_ids did not have response messages: {', '.join(pending)}"
            )
        calls = message.get("tool_calls") or []
        pending = [call["id"] for call in calls]
        if len(set(pending)) < len(pending) or not all(pending):
            raise BrokenRuleError(f"messages.{index}: ids of tool calls must be unique")
        for call in calls:
            _check_arguments(index, call["function"])
    if pending:
        raise BrokenRuleError(f"tool_call_ids did not have response messages: {', '.join(pending)}")


def _check_arguments(index: int, function: Json) -> None:
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise BrokenRuleError(f"messages.{index}: Can only get item pairs from a mapping: {function['arguments'][:40]}")


def _check_pictures(message: Json, model: str, emulator: Emulator) -> None:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    pictures = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    if pictures and message["role"] != "user" and not (message["role"] == "tool" and "sees-in-tools" in model):
        raise BrokenRuleError(f"Pictures are not taken in {message['role']} messages.")
    if any(one == other and one["type"] == "image_url" for one, other in itertools.pairwise(parts)):
        raise BrokenRuleError("The same picture stands twice in a message, and nothing is said of the second.")
    if any(emulator.picture(url) is None for url in pictures):
        raise BrokenRuleError("Could not process image")


def opening(body: Json) -> str:
    first = next((message for message in body["messages"] if message["role"] == "user"), {"content": ""})
    content = first["content"]
    return content if isinstance(content, str) else " ".join(part.get("text", "") for part in content)


def system(body: Json) -> str:
    first = body["messages"][0]
    return str(first["content"]) if first["role"] == "system" else ""


def _schema_of(body: Json) -> Json | None:
    form = body.get("response_format") or {}
    schema: Json | None = form.get("json_schema", {}).get("schema")
    return schema


def kind_of(body: Json) -> str:
    if body.get("tools") or spoken.language_of(body, system(body)):
        return "turns"
    return "schema" if _schema_of(body) or "JSON Schema" in system(body) else "words"


def answer(body: Json, due: story.Due, emulator: Emulator) -> Json:
    """The whole answer; what a turn has as `raw` is a choice."""
    turn, (name, _, index) = due.turn, due.key
    choice = {"index": 0, "logprobs": None, **(turn.raw or _choice(body, turn, f"{name}_{index}", emulator))}
    usage = None if "counts-nothing" in body["model"] else {**SAMPLE, **DETAILS}
    whole = {
        "id": f"chatcmpl-{name}_{index}", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice],
        **({"usage": usage} if usage else {}),
    }  # fmt: skip
    if turn.raw is None:
        message = {field: value for field, value in choice["message"].items() if field not in REASONING}
        assert not (wrong := strict.problem(ChatCompletion, {**whole, "choices": [{**choice, "message": message}]})), (
            wrong
        )
    return whole


def _choice(body: Json, turn: Turn, tag: str, emulator: Emulator) -> Json:
    message: Json = {"role": "assistant", "content": turn.text or None, "refusal": None}
    if turn.thinking:
        message["reasoning_content"] = turn.thinking
    if turn.stop == "refusal":
        message |= {"content": None, "refusal": turn.text or "This could do harm."}
        return {"message": message, "finish_reason": "stop"}
    wants = [spoken.call(body, system(body), name, params, emulator) for name, params in turn.wants]
    language = spoken.language_of(body, system(body))
    if language and turn.wants:
        message["content"] = spoken.as_text(language, wants, turn.text)
    elif wants:
        message["tool_calls"] = [
            {
                "id": f"call_{tag}_{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(params)},
            }
            for number, (name, params) in enumerate(wants)
        ]
        if turn.stop == "cut":
            function = message["tool_calls"][-1]["function"]
            function["arguments"] = function["arguments"][: len(function["arguments"]) // 2]
    finish = FINISHES.get(turn.stop, "tool_calls" if message.get("tool_calls") else "stop")
    return {"message": message, "finish_reason": finish}


def events(whole: Json, body: Json) -> Iterator[bytes]:
    """The answer as a stream."""
    [choice] = whole["choices"]
    head = {**whole, "object": "chat.completion.chunk"}
    head.pop("usage", None)
    for delta in ({"role": "assistant", "content": ""}, *_deltas(choice["message"])):
        yield _event({**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]})
    yield _event(
        {**head, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"]}]}
    )
    if (body.get("stream_options") or {}).get("include_usage") and whole.get("usage"):
        yield _event({**head, "choices": [], "usage": whole["usage"]})
    yield b"data: [DONE]\n\n"


def _deltas(message: Json) -> Iterator[Json]:
    for name, value in message.items():
        if isinstance(value, str) and name != "role":
            half = len(value) // 2
            yield from ({name: piece} for piece in (value[:half], value[half:]) if piece)
    for index, call in enumerate(message.get("tool_calls") or ()):
        function, arguments = call["function"], call["function"]["arguments"]
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": ""}}]}
        for piece in (arguments[:7], arguments[7:]):
            if piece:
                yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _event(chunk: Json) -> bytes:
    typed = json.loads(json.dumps(chunk))
    for choice in typed["choices"]:
        for name in REASONING:
            choice["delta"].pop(name, None)
    assert not (wrong := strict.problem(ChatCompletionChunk, typed)), wrong
    return f"data: {json.dumps(chunk)}\n\n".encode()
