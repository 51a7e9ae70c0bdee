"""Chat completions, as vLLM, Ollama, LM Studio, llama.cpp, routers and many vendors speak them.

These servers differ, so most of it is said by the profile (inference.dialects.language). Nothing is bound to what stood before:
old pictures may be left out when a request is built, and what a server cannot read again is left out of what it wrote.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from inference.dialects.language import Language
from inference.dialects.own_tools import read_native
from inference.dialects.tool_calls import Call, json_object, without_thinking
from inference.errors import ModelBusy, ModelRefused
from inference.records import Usage
from inference.specs import Spec
from inference.wires import openai_client, transport
from inference.wires.base import Answer, Json, Request, Thought, View, Wanted
from inference.wires.scaling import view_of

MAX_TOKENS = 4096
REASONING = ("reasoning_content", "reasoning", "reasoning_details")
NO_ANSWER = "(no answer)"  # servers do not take an empty message
LEFT_OUT = "[An older picture of the screen was left out.]"
SCREEN_NOW = "The screen now:"


class ChatWire:
    """Options: those of Language, and max_side, factor, min_pixels, max_pixels, picture_in_tool, max_tokens, stop, keep_images,
    reasoning_back, effort, extra_body (null takes a field away), proxy."""

    def __init__(self, spec: Spec) -> None:
        transport.needs("openai", spec)
        self.spec = spec
        self.language = Language.of(spec.options)
        self.grid = self.language.grid
        self._client = transport.Client(spec, openai_client.connected)

    def view(self, width: int, height: int) -> View:
        return view_of(width, height, self.spec.options)

    def opening(self, text: str, picture: str | None) -> list[Json]:
        return [_user([text], [picture] if picture else [])]

    def note(self, text: str, picture: str | None = None) -> list[Json]:
        return self.opening(text, picture)

    def results(self, answers: Sequence[Answer], picture: str | None) -> list[Json]:
        """A tool item for each native call, then a user item with what tool items have no room for: pictures, and what came of
        calls that stood in the text."""
        items: list[Json] = []
        words: list[str] = []
        for call in _by_call(answers):
            if call[0].wanted.extra.get("in_text"):
                words += [_answer_text(answer) for answer in call]
            else:
                items.append({"role": "tool", "tool_call_id": call[0].wanted.call, "content": _joined(call)})
        looks = [answer.picture for answer in answers if answer.picture and answer.picture != picture]
        if items and picture and not looks and not words and self.spec.options.get("picture_in_tool"):
            items[-1]["content"] = [_text(items[-1]["content"]), _image(picture)]
            return items
        shown = [*looks, picture] if picture else looks
        if words or shown:
            items.append(_user([*words, *([SCREEN_NOW] if shown else [])], shown))
        return items

    def body(self, request: Request) -> Json:
        """{content, the bytes that are sent}."""
        options = self.spec.options
        system = "\n\n".join(filter(None, (request.system, self.language.system(request))))
        log = [self._as_sent(item) for item in request.log]
        messages = _merged([*([{"role": "system", "content": system}] if system else []), *log])
        _forget_pictures(messages, options.get("keep_images"))
        tokens = int(options.get("max_tokens") or MAX_TOKENS) * (2 if request.longer else 1)
        plain: Json = {
            "model": self.spec.model,
            "messages": messages,
            "max_tokens" if self.spec.base_url else "max_completion_tokens": tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.language.fields(request),
            **({"stop": options["stop"]} if options.get("stop") else {}),
            **({"reasoning_effort": options["effort"]} if options.get("effort") else {}),
            **(options.get("extra_body") or {}),
        }
        sent = {name: value for name, value in plain.items() if value is not None}
        return {"content": transport.encoded(sent, _data_url, request.picture)}

    def _as_sent(self, item: Json) -> Json:
        """An item of the log as servers take it back: what the model thought only where the profile says so, and no arguments
        that the server's own template could not read."""
        if item["role"] != "assistant":
            return item
        back = bool(self.spec.options.get("reasoning_back"))
        text = _text_of(item.get("content"))
        words = text if back else without_thinking(text)[0]
        sent: Json = {"role": "assistant"}
        if words or not item.get("tool_calls"):
            sent["content"] = words or NO_ANSWER
        if item.get("tool_calls"):
            sent["tool_calls"] = [_readable(call) for call in item["tool_calls"]]
        return sent | ({name: item[name] for name in REASONING if name in item} if back else {})

    async def send(self, body: Json, request: Request, on_first_byte: Callable[[], None]) -> Thought:
        sdk, client = await self._client.ready()
        try:
            async with transport.asking(sdk, self.spec):
                answer = await _ask(self.spec, client, body["content"], self._headers(sdk), on_first_byte)
                return self._thought(answer, request)
        except transport.ConversationFullError:
            return Thought((), "full")

    def _headers(self, sdk: ModuleType) -> Json:
        return {} if self.spec.key else {"Authorization": sdk.Omit()}

    async def close(self) -> None:
        await self._client.close()

    def _thought(self, answer: "_Message", request: Request) -> Thought:
        message, usage = answer.message, _usage(answer.usage)
        facts: Json = {"usage": usage, "request_id": answer.request_id}
        text, thought = without_thinking(_text_of(message.get("content")))
        reasoning = "\n\n".join(filter(None, (_reasoning_of(message), thought)))
        refusal = _word(message.get("refusal"))
        if answer.finish == "content_filter" or (refusal and not message.get("tool_calls")):
            why = transport.quoted(self.spec, refusal or text or "its vendor's filter stopped the answer.")
            record = transport.bare_record(self.spec, "refused", usage, answer.request_id)
            raise ModelRefused(f"The model refused: {why}", "refusal" if refusal else "content_filter", record)
        if answer.finish == "error":  # of routers whose server broke down in the middle
            raise ModelBusy(f"The answer of {self.spec.name} broke off.", 0.0)
        if answer.finish == "length":
            return Thought((), "cut", text=text, **facts)
        _name_calls(message, len(request.log))
        native = [_native(call) for call in message.get("tool_calls") or ()]
        reading = self.language.read(text, native, request)
        wanted = tuple(self._wanted(reading.calls, request))
        words = reading.text if wanted else _unfenced_json(text) if request.schema is not None else text
        return Thought((message,), "calls" if wanted else "said", wanted, words, reasoning, **facts)

    def _wanted(self, calls: Sequence[Call], request: Request) -> Iterator[Wanted]:
        """Calls in the text have no ids of their own: theirs tell the place of the answer and their place in it."""
        number = 0
        for call in calls:
            wanted = replace(self.language.wanted(call, request), text=call.text, last=not call.more)
            if not call.id:
                wanted = replace(wanted, call=f"text-{len(request.log)}-{number}", extra={"in_text": True})
            number += not call.more
            yield wanted


class _Message:
    """An answer as it grows. `message` is the log's item."""

    def __init__(self, request_id: str | None) -> None:
        self.message: Json = {"role": "assistant"}
        self.finish: str | None = None
        self.usage: Any = None
        self.request_id = request_id

    def take(self, chunk: Mapping[str, Any], *, whole: bool = False) -> None:
        """A chunk of a stream, or a whole answer. Servers write what they like: what has another shape is left out."""
        self.request_id = self.request_id or chunk.get("id") or None
        self.usage = chunk.get("usage") or self.usage
        for choice in _objects(chunk.get("choices")):
            if choice.get("index", 0):
                continue
            part = choice.get("delta") or choice.get("message")
            for name, value in part.items() if isinstance(part, dict) else ():
                self._add(name, value, whole=whole)
            self.finish = choice.get("finish_reason") or self.finish

    def _add(self, name: str, value: Any, *, whole: bool) -> None:
        if value is None or name == "role":
            return
        before = self.message.get(name)
        if name == "tool_calls":
            for call in _objects(value):
                _add_call(self.message.setdefault("tool_calls", []), call, whole=whole)
        elif isinstance(before, str) and isinstance(value, str):
            self.message[name] = before + value
        elif isinstance(before, list) and isinstance(value, list):
            before.extend(value)
        else:
            self.message[name] = value


def _objects(value: Any) -> Iterator[Json]:
    return (one for one in value if isinstance(one, dict)) if isinstance(value, list) else iter(())


def _add_call(calls: list[Json], part: Mapping[str, Any], *, whole: bool) -> None:
    """Servers number the parts of calls, but not all do it right: a part with another id begins another call."""
    function = part["function"] if isinstance(part.get("function"), dict) else {}
    call_id, place = _word(part.get("id")), part.get("index")
    call = next((one for one in reversed(calls) if place is None or one.get("index") == place), None)
    if whole or call is None or (call_id and call["id"] and call_id != call["id"]):
        call = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}, "index": place}
        calls.append(call)
    call["id"] = call["id"] or call_id
    call["function"]["name"] = call["function"]["name"] or _word(function.get("name"))
    arguments = function.get("arguments")
    call["function"]["arguments"] += (
        arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""
    )
    call |= {name: value for name, value in part.items() if name not in {"id", "type", "function", "index"}}


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _name_calls(message: Json, place: int) -> None:
    """Every call has an id of its own, as its answer needs one; `place` in the log is part of those that a server left out."""
    ids: set[str] = set()
    for number, call in enumerate(message.get("tool_calls") or ()):
        call.pop("index", None)
        if not call["id"] or call["id"] in ids:
            call["id"] = f"call_{place}_{number}"
        ids.add(call["id"])


async def _ask(spec: Spec, client: Any, content: bytes, headers: Json, on_first_byte: Callable[[], None]) -> _Message:
    """The whole answer, from a stream or from a server that does not stream."""
    from openai import AsyncStream
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

    # What chat.completions.create() does, but with bytes that a thread has made.
    async with await client.post(
        "/chat/completions",
        content=content,
        cast_to=ChatCompletion,
        options={"headers": headers},
        stream=True,
        stream_cls=AsyncStream[ChatCompletionChunk],
    ) as stream:
        answer = _Message(stream.response.headers.get("x-request-id"))
        if stream.response.headers.get("content-type", "").startswith("application/json"):
            whole = _checked(json.loads(await stream.response.aread()))
            on_first_byte()
            answer.take(whole, whole=True)
            return answer
        transport.check_stream(spec, stream.response)
        try:
            async for chunk in stream:
                on_first_byte()
                answer.take(chunk.to_dict(mode="json", exclude_unset=True, warnings=False))
        except Exception:
            if answer.finish is None:
                raise  # else it is whole, however the connection ended
    if answer.finish is None:
        raise transport.BrokenOffError
    return answer


def _checked(answer: Any) -> Json:
    if not isinstance(answer, dict):
        raise transport.BrokenOffError
    if answer.get("error"):
        raise transport.StreamError(answer)
    if not isinstance(answer.get("choices"), list) or not answer["choices"]:
        raise transport.BrokenOffError
    return answer


def _native(call: Json) -> Call:
    return read_native(call["function"]["name"], call["function"]["arguments"], call["id"])


def _readable(call: Json) -> Json:
    """Servers put the arguments of old calls into their template as JSON, and fail where these are none."""
    try:
        json_object(call["function"]["arguments"] or "{}")
        arguments = call["function"]["arguments"] or "{}"
    except ValueError:
        arguments = "{}"
    return {**call, "function": {"name": call["function"]["name"] or "unknown", "arguments": arguments}}


def _user(texts: Sequence[str], pictures: Sequence[str]) -> Json:
    return {"role": "user", "content": [*map(_text, filter(None, texts)), *map(_image, pictures)]}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _image(sha: str) -> Json:
    return {"type": "image_url", "image_url": {"url": {"$img": sha}}}


def _data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"


def _by_call(answers: Sequence[Answer]) -> list[list[Answer]]:
    calls: dict[str, list[Answer]] = {}
    for answer in answers:
        calls.setdefault(answer.wanted.call, []).append(answer)
    return list(calls.values())


def _joined(call: Sequence[Answer]) -> str:
    texts = list(dict.fromkeys(answer.text for answer in call if answer.text))
    return "\n".join(texts) or ("Done." if all(answer.ok for answer in call) else "It was not done.")


def _answer_text(answer: Answer) -> str:
    words = answer.text or ("done." if answer.ok else "it was not done.")
    return f"{answer.wanted.name}: {words}" if answer.wanted.name and answer.wanted.kind != "bad" else words


def _merged(messages: Sequence[Json]) -> list[Json]:
    """Two user items in a row are one: the templates of some models take only turns that alternate."""
    merged: list[Json] = []
    for message in messages:
        if message["role"] == "user" and merged and merged[-1]["role"] == "user":
            merged[-1] = {**merged[-1], "content": [*merged[-1]["content"], *message["content"]]}
        else:
            merged.append(dict(message))
    return merged


def _forget_pictures(messages: list[Json], keep: int | None) -> None:
    """Only the newest `keep` pictures stay; None = all."""
    left = keep
    for message in reversed(messages):
        if left is None or not isinstance(message.get("content"), list):
            continue
        parts = []
        for part in reversed(message["content"]):
            if part["type"] != "image_url":
                parts.append(part)
                continue
            parts.append(part if left > 0 else _text(LEFT_OUT))
            left -= 1
        message["content"] = parts[::-1]


def _text_of(content: Any) -> str:
    """Some servers answer with parts instead of a text."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type", "text") == "text"]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _reasoning_of(message: Json) -> str:
    return next(
        (message[name] for name in REASONING if isinstance(message.get(name), str) and message[name]), ""
    ).strip()


def _unfenced_json(text: str) -> str:
    """JSON without the fence that many models put around it."""
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        return text.split("\n", 1)[1].removesuffix("```").strip()
    return text


def _usage(usage: Any) -> Usage:
    """Many servers say nothing, or not all of it."""
    if not isinstance(usage, Mapping):
        return Usage()
    into, out = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        input=_count(usage, "prompt_tokens"),
        cached=_count(into, "cached_tokens"),
        output=_count(usage, "completion_tokens"),
        reasoning=_count(out, "reasoning_tokens"),
    )


def _count(counts: Any, name: str) -> int | None:
    value = counts.get(name) if isinstance(counts, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
