"""Anthropic Messages: the computer toolset, or the older computer tool (option `computer`: older).

A turn of the model is one assistant message, kept as it came; what answers it is one user message that answers all of it.
What a model thought is bound to everything before it, so nothing in the log is ever changed. The marks of the cache are not
part of it: they are put into a copy when a request is built.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from inference.errors import ModelMisconfigured, ModelRefused
from inference.records import Usage
from inference.specs import Spec
from inference.wires import arguments, key_spellings, transport
from inference.wires.arguments import UnusableError
from inference.wires.base import Answer, End, Json, Request, Thought, View, Wanted
from inference.wires.scaling import view_of

VENDOR = "https://api.anthropic.com"
MAX_TOKENS = 16_000
OLDER_BETA = "computer-use-2025-11-24"
BINDING_BETA = "thinking-binding-controls-2026-08-01"
DROPPED = "The vendor left out some of the model's older thoughts: what stands before them was not as it had been."

# The members of the toolset, and what of machines.actions.canonical each needs; None: nothing, it only looks.
_MEMBERS = {
    "key": "key_press", "type": "type_text", "mouse_move": "move", "left_click": "click", "right_click": "click",
    "middle_click": "click", "double_click": "click", "triple_click": "click", "left_click_drag": "drag",
    "scroll": "scroll", "wait": "wait", "screenshot": None, "zoom": None,
}  # fmt: skip
_NEVER = ("cursor_position", "hold_key", "left_mouse_down", "left_mouse_up")  # no action of ours
_CLICKS: dict[str, Json] = {
    "left_click": {}, "right_click": {"button": "right"}, "middle_click": {"button": "middle"},
    "double_click": {"count": 2}, "triple_click": {"count": 3},
}  # fmt: skip
_BOUND = re.compile(r"bound to (?:a different|another)|prefix_binding_mismatch|block_binding", re.IGNORECASE)


def _connected(spec: Spec) -> tuple[ModuleType, Any]:
    import anthropic

    client = anthropic.AsyncAnthropic(
        api_key=spec.key,
        base_url=spec.base_url or VENDOR,
        max_retries=0,
        http_client=transport.http_client(anthropic, spec),
    )
    # The SDK reads ANTHROPIC_CUSTOM_HEADERS of the environment; they are for another server.
    client._custom_headers = {}  # it has no other way to leave them out
    return anthropic, client


class AnthropicWire:
    """Options: computer, max_side, max_tokens, thinking (adaptive, off, or a number of tokens), effort, cache_ttl (5m, 1h),
    system_notes (notes of people as system items, for models that take them), extra_body, proxy."""

    grid: int | None = None

    def __init__(self, spec: Spec) -> None:
        transport.needs("anthropic", spec)
        if not spec.key:
            raise ModelMisconfigured(f"The profile {spec.name} has no key.")
        self.spec = spec
        self._older = spec.options.get("computer") == "older"
        self._client = transport.Client(spec, _connected)

    def view(self, width: int, height: int) -> View:
        return view_of(width, height, self.spec.options)

    def opening(self, text: str, picture: str | None) -> list[Json]:
        return [_user(text, picture)]

    def note(self, text: str, picture: str | None = None) -> list[Json]:
        if not self.spec.options.get("system_notes"):
            return [_user(text, picture)]
        system = {"role": "system", "content": [{"type": "text", "text": text}]}
        return [system, {"role": "user", "content": [{"$img": picture}]}] if picture else [system]

    def results(self, answers: Sequence[Answer], picture: str | None) -> list[Json]:
        calls = _by_call(answers)
        content = [_result(call) for call in calls]
        if picture and not (calls and calls[-1][-1].picture):
            # Results of what failed take no pictures: then it stands after them.
            place = content if not calls or content[-1]["is_error"] else content[-1]["content"]
            place.append({"$img": picture})
        return [{"role": "user", "content": content}] if content else []

    def body(self, request: Request) -> Json:
        """{plain, with pictures by their hashes; betas; content, the bytes that are sent}."""
        options = self.spec.options
        system: list[Json] = [{"type": "text", "text": request.system}] if request.system else []
        tools = self._tools(request)
        messages = self._marked(request.log)
        if fixed := system or tools:
            fixed[-1] = {**fixed[-1], "cache_control": self._mark}
        tokens = int(options.get("max_tokens") or MAX_TOKENS)
        plain: Json = {
            "model": self.spec.model,
            "max_tokens": tokens * 2 if request.longer else tokens,
            "messages": messages,
            **({"system": system} if system else {}),
            **({"tools": tools} if tools else {}),
            **self._thinking(tokens),
            **self._output(request),
            "stream": True,
            **(options.get("extra_body") or {}),
        }
        return _encoded(plain, [OLDER_BETA] if self._older and request.computer else [], request)

    def _thinking(self, tokens: int) -> Json:
        how = self.spec.options.get("thinking", "adaptive")
        if how == "off":
            return {}
        if isinstance(how, int) and not isinstance(how, bool):
            return {"thinking": {"type": "enabled", "budget_tokens": max(1024, min(how, tokens - 1))}}
        # Newer models keep what they thought to themselves unless they are asked; people want to read it.
        return {"thinking": {"type": "adaptive", "display": "summarized"}}

    def _output(self, request: Request) -> Json:
        config: Json = {}
        if self.spec.options.get("effort"):
            config["effort"] = self.spec.options["effort"]
        if request.schema is not None:
            config["format"] = {"type": "json_schema", "schema": request.schema}
        return {"output_config": config} if config else {}

    def _tools(self, request: Request) -> list[Json]:
        functions = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
            for tool in arguments.functions(request)
        ]
        return [*([self._computer(request)] if request.computer else []), *functions]

    def _computer(self, request: Request) -> Json:
        if self._older:
            view = request.view
            size = {"display_width_px": view.sent_width, "display_height_px": view.sent_height}
            return {"type": "computer_20251124", "name": "computer", **size, "enable_zoom": True}
        lacking = [name for name, action in _MEMBERS.items() if action and action not in request.actions]
        off = {name: {"enabled": False} for name in sorted([*_NEVER, *lacking])}
        return {"type": "computer_toolset_20260801", "configs": off}

    @property
    def _mark(self) -> Json:
        """Where the vendor's cache may begin again."""
        ttl = self.spec.options.get("cache_ttl")
        return {"type": "ephemeral", **({"ttl": ttl} if ttl in {"5m", "1h"} else {})}

    def _marked(self, log: Sequence[Json]) -> list[Json]:
        """A copy of the log with marks at the ends of the newest two user items; with the one of what never changes that is
        three of the four that are allowed."""
        messages = list(log)
        users = [place for place, message in enumerate(messages) if message["role"] == "user"]
        for place in users[-2:]:
            *others, last = messages[place]["content"]
            messages[place] = {**messages[place], "content": [*others, {**last, "cache_control": self._mark}]}
        return messages

    async def send(self, body: Json, request: Request, on_first_byte: Callable[[], None]) -> Thought:
        sdk, client = await self._client.ready()
        try:
            async with transport.asking(sdk, self.spec):
                try:
                    return self._thought(*await self._ask(client, body, on_first_byte), request)
                except sdk.BadRequestError as error:
                    if not _BOUND.search(str(error)):
                        raise
                    return await self._rescued(client, body, request, on_first_byte)
        except transport.ConversationFullError:
            return Thought((), "full")

    async def _rescued(self, client: Any, body: Json, request: Request, on_first_byte: Callable[[], None]) -> Thought:
        """Once more without the thoughts that an older release's log does not bear out. The refusal before cost nothing."""
        thinking = {
            **body["plain"].get("thinking", {"type": "adaptive"}),
            "block_binding": {"prefix_mismatch_behavior": "drop_block"},
        }
        changed = {**body["plain"], "thinking": thinking}
        again = await asyncio.to_thread(_encoded, changed, [*body["betas"], BINDING_BETA], request)
        answer = await self._ask(client, again, on_first_byte)
        thought = self._thought(*answer, request)
        left_out = [f"{one.path}: {one.type}, {one.reason}" for one in answer[0].input_transformations or ()]
        return replace(thought, notes=(DROPPED, *left_out))

    async def _ask(self, client: Any, body: Json, on_first_byte: Callable[[], None]) -> tuple[Any, str | None]:
        """The whole message and the number of the request; what breaks off before its end is none."""
        from anthropic import NOT_GIVEN, AsyncStream
        from anthropic.lib.streaming import BetaAsyncMessageStream
        from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent

        # What beta.messages.stream() does, but with bytes that a thread has made.
        raw = await client.post(
            "/v1/messages?beta=true",
            content=body["content"],
            cast_to=BetaMessage,
            options={"headers": {"anthropic-beta": ",".join(body["betas"])} if body["betas"] else {}},
            stream=True,
            stream_cls=AsyncStream[BetaRawMessageStreamEvent],
        )
        whole = False
        async with BetaAsyncMessageStream(raw, output_format=NOT_GIVEN) as stream:
            transport.check_stream(self.spec, raw.response)
            on_first_byte()
            try:
                async for event in stream:
                    whole = whole or event.type == "message_stop"
            except Exception:
                if not whole:
                    raise  # else it is whole, however the connection ended
            if not whole or stream.current_message_snapshot.stop_reason is None:
                raise transport.BrokenOffError
            return stream.current_message_snapshot, stream.request_id

    async def close(self) -> None:
        await self._client.close()

    def _thought(self, message: Any, request_id: str | None, request: Request) -> Thought:
        usage = _usage(message.usage)
        blocks = [transport.as_sent(block) for block in message.content]
        text = "".join(block["text"] for block in blocks if block["type"] == "text").strip()
        if message.stop_reason == "refusal":
            details = message.stop_details
            why = transport.quoted(self.spec, (details and details.explanation) or text or "It gave no reason.")
            record = transport.bare_record(self.spec, "refused", usage, request_id)
            raise ModelRefused(f"The model refused: {why}", (details and details.category) or "refusal", record)
        facts: Json = {"usage": usage, "request_id": request_id}
        if message.stop_reason in {"max_tokens", "model_context_window_exceeded"}:
            end: End = "cut" if message.stop_reason == "max_tokens" else "full"
            return Thought((), end, text=text, **facts)
        uses = [block for block in blocks if block["type"] == "tool_use"]
        wanted = tuple(one for use in uses for one in _wanted(use, request, self._older))
        end = "paused" if message.stop_reason == "pause_turn" else "calls" if wanted else "said"
        return Thought(
            ({"role": "assistant", "content": blocks},) if blocks else (),
            end,
            wanted if end == "calls" else (),
            text,
            "\n\n".join(block["thinking"] for block in blocks if block["type"] == "thinking" and block["thinking"]),
            **facts,
        )


def _encoded(plain: Json, betas: list[str], request: Request) -> Json:
    return {"plain": plain, "betas": betas, "content": transport.encoded(plain, _image, request.picture)}


def _user(text: str, picture: str | None) -> Json:
    content: list[Json] = [{"type": "text", "text": text}] if text else []  # an empty text is not accepted
    return {"role": "user", "content": [*content, {"$img": picture}] if picture else content}


def _image(media_type: str, data: str) -> Json:
    source = {"type": "base64", "media_type": media_type, "data": data}
    # Otherwise the server makes a large picture smaller without a word, and every point is off.
    return {"type": "image", "source": source, "transformations": {"oversized_image": "error"}}


def _by_call(answers: Sequence[Answer]) -> list[list[Answer]]:
    calls: dict[str, list[Answer]] = {}
    for answer in answers:
        calls.setdefault(answer.wanted.call, []).append(answer)
    return list(calls.values())


def _result(answers: Sequence[Answer]) -> Json:
    """The result of one call, which may have been several actions (a key that was pressed three times)."""
    ok = all(answer.ok for answer in answers)
    texts = list(dict.fromkeys(answer.text for answer in answers if answer.text))
    content: list[Json] = [{"type": "text", "text": "\n".join(texts) or ("Done." if ok else "It was not done.")}]
    shown = [answer.picture for answer in answers if answer.picture]
    if ok and shown:
        content.append({"$img": shown[-1]})
    wanted = answers[0].wanted
    result = {"type": "tool_result", "tool_use_id": wanted.call, "is_error": not ok, "content": content}
    return {**result, "toolset_name": wanted.extra["toolset"]} if wanted.extra.get("toolset") else result


def _usage(usage: Any) -> Usage:
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    details = getattr(usage, "output_tokens_details", None)
    return Usage(
        input=None if usage.input_tokens is None else usage.input_tokens + (cached or 0) + (written or 0),
        cached=cached,
        cache_written=written,
        output=usage.output_tokens,
        reasoning=details.thinking_tokens if details else None,
    )


def _wanted(use: Json, request: Request, older: bool) -> list[Wanted]:
    """What one tool_use asks for: mostly one thing."""
    toolset = use.get("toolset_name")
    extra = {"toolset": toolset} if toolset else {}
    values = use.get("input")
    if not toolset and not (older and use["name"] == "computer"):
        return [arguments.function_call(use["id"], use["name"], values, request, extra)]
    member = values.get("action") if older and isinstance(values, dict) else use["name"]
    try:
        if not isinstance(values, dict):
            raise UnusableError("The input has to be a JSON object.")
        actions = list(_read(str(member), values, request))
    except UnusableError as problem:
        return [Wanted(use["id"], "bad", str(member)[:60], problem=str(problem), extra=extra)]
    return [
        Wanted(
            use["id"],
            "look" if name in {"screenshot", "zoom"} else "act",
            name,
            params,
            index == len(actions) - 1,
            extra=extra,
        )
        for index, (name, params) in enumerate(actions)
    ]


def _read(member: str, values: Json, request: Request) -> Iterator[tuple[str, Json]]:
    """(name, params) in our words. Raises UnusableError."""
    action = _MEMBERS.get(member, "")
    if action is not None and action not in request.actions:
        raise UnusableError(f"“{member[:60]}” cannot be done on this machine.")
    if member not in {"key", "type"}:
        arguments.no_held_keys(values.get("text"))
    if member == "key":
        yield from _keys(values)
    elif member in _CLICKS:
        x, y = _place(values, request)
        yield "click", {"x": x, "y": y, **_CLICKS[member]}
    else:
        yield _READERS[member](values, request)


def _keys(values: Json) -> Iterator[tuple[str, Json]]:
    """One action for each time it is pressed. X11 writes keys one after the other with spaces between them."""
    spelled, repeat = arguments.text(values.get("text"), "key"), values.get("repeat") or 1
    if not isinstance(repeat, int) or not 1 <= repeat <= key_spellings.MOST_REPEATS:
        raise UnusableError(f"A key can be pressed 1 to {key_spellings.MOST_REPEATS} times at once.")
    pressed = [arguments.pressed(key_spellings.split(one)) for one in (spelled.split() or [spelled])]
    for _ in range(repeat):
        yield from pressed


def _place(values: Json, request: Request) -> tuple[int, int]:
    """The point, or where the pointer is when there is none."""
    if values.get("coordinate") is not None:
        return arguments.point(request.view, values["coordinate"])
    if request.cursor is None:
        raise UnusableError("Give the coordinate: where the pointer is now is not known.")
    return request.cursor


def _drag(values: Json, request: Request) -> tuple[str, Json]:
    start = values.get("start_coordinate")
    from_x, from_y = _place({"coordinate": start}, request)
    to_x, to_y = arguments.point(request.view, values.get("coordinate"))
    return "drag", {"from_x": from_x, "from_y": from_y, "to_x": to_x, "to_y": to_y}


def _move(values: Json, request: Request) -> tuple[str, Json]:
    x, y = arguments.point(request.view, values.get("coordinate"))
    return "move", {"x": x, "y": y}


def _scroll(values: Json, request: Request) -> tuple[str, Json]:
    direction = values.get("scroll_direction")
    if direction not in {"up", "down", "left", "right"}:
        raise UnusableError("Give the scroll_direction: up, down, left or right.")
    middle = (request.view.width // 2, request.view.height // 2)
    x, y = _place(values, request if request.cursor else replace(request, cursor=middle))
    amount = arguments.notches(values.get("scroll_amount", 3))
    return "scroll", {"x": x, "y": y, "direction": direction, "amount": amount}


_READERS: dict[str, Callable[[Json, Request], tuple[str, Json]]] = {
    "type": lambda values, request: ("type_text", {"text": arguments.text(values.get("text"))}),
    "mouse_move": _move,
    "left_click_drag": _drag,
    "scroll": _scroll,
    "wait": lambda values, request: ("wait", {"ms": arguments.milliseconds(values.get("duration"))}),
    "screenshot": lambda values, request: ("screenshot", {}),
    "zoom": lambda values, request: ("zoom", {"region": arguments.region(request.view, values.get("region"))}),
}
