"""OpenAI Responses: the computer tool, or the preview of it (option `computer`: preview).

Nothing is kept at the vendor: every request holds the whole conversation, in groups as they came (what was thought, the
call, its output). One computer_call may hold several actions; its one output is sent after the last of them.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from inference.errors import ModelMisconfigured, ModelRefused
from inference.records import Usage
from inference.specs import Spec
from inference.wires import arguments, openai_client, transport
from inference.wires.arguments import UnusableError
from inference.wires.base import Answer, Check, End, Json, Request, Thought, View, Wanted
from inference.wires.computer_calls import actions
from inference.wires.scaling import view_of

UNAGREED = "No person agreed to the safety check of this call; nothing of it was done."
UNACKNOWLEDGED = "The vendor did not take back a call whose safety check a person refused; it was left out."


class ResponsesWire:
    """Options: computer, max_side, max_tokens, effort, extra_body, proxy."""

    grid: int | None = None

    def __init__(self, spec: Spec) -> None:
        transport.needs("openai", spec)
        if not spec.key:
            raise ModelMisconfigured(f"The profile {spec.name} has no key.")
        self.spec = spec
        self._preview = spec.options.get("computer") == "preview"
        self._client = transport.Client(spec, openai_client.connected)

    def view(self, width: int, height: int) -> View:
        return view_of(width, height, self.spec.options)

    def opening(self, text: str, picture: str | None) -> list[Json]:
        return [_user(text, picture)]

    def note(self, text: str, picture: str | None = None) -> list[Json]:
        return [_user(text, picture)]

    def results(self, answers: Sequence[Answer], picture: str | None) -> list[Json]:
        """An output for each call; what there is to say of actions, which outputs have no room for, stands in a user item
        after them. A call that a person refused is answered by the screen as it is, and nothing is acknowledged."""
        items: list[Json] = []
        words: list[str] = []
        for call in _by_call(answers):
            if call[0].wanted.extra.get("kind") == "computer":
                items.append(_screenshot(call, picture))
                texts = [_answer_text(call, place) for place, answer in enumerate(call) if answer.text or not answer.ok]
                words += texts or ([UNAGREED] if _checked(call) and not _acknowledged(call) else [])
            else:
                items.append(_function_output(call))
        shown = any(item["type"] == "computer_call_output" for item in items)
        content = [_text(word) for word in dict.fromkeys(words)]
        if picture and not shown:
            content.append(_image(picture))
        return [*items, {"role": "user", "content": content}] if content else items

    def body(self, request: Request) -> Json:
        """{plain, with pictures by their hashes; content, the bytes that are sent}."""
        options = self.spec.options
        body: Json = {
            "model": self.spec.model,
            "input": list(request.log),
            "stream": True,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            # The preview takes nothing else; elsewhere a conversation that is too long has to be told, not shortened.
            "truncation": "auto" if self._preview and request.computer else "disabled",
        }
        if request.system:
            body["instructions"] = request.system
        if request.key:
            body["prompt_cache_key"] = request.key[:64]
        if tools := self._tools(request):
            body["tools"] = tools
        if options.get("effort"):
            body["reasoning"] = {"effort": options["effort"]}
        if options.get("max_tokens"):
            body["max_output_tokens"] = int(options["max_tokens"]) * (2 if request.longer else 1)
        if request.schema is not None:
            shape = {"type": "json_schema", "name": "answer", "schema": request.schema}
            body["text"] = {"format": {**shape, "strict": _is_strict(request.schema)}}
        return _encoded({**body, **(options.get("extra_body") or {})}, request)

    def _tools(self, request: Request) -> list[Json]:
        functions = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.schema,
                "strict": _is_strict(tool.schema),
            }
            for tool in arguments.functions(request)
        ]
        return [*([self._computer(request)] if request.computer else []), *functions]

    def _computer(self, request: Request) -> Json:
        if not self._preview:
            return {"type": "computer"}
        return {
            "type": "computer_use_preview",
            "display_width": request.view.sent_width,
            "display_height": request.view.sent_height,
            "environment": "browser" if request.machine_kind == "browser" else "linux",
        }

    async def send(self, body: Json, request: Request, on_first_byte: Callable[[], None]) -> Thought:
        sdk, client = await self._client.ready()
        try:
            async with transport.asking(sdk, self.spec):
                try:
                    return self._thought(*await self._ask(client, body, on_first_byte), request)
                except sdk.BadRequestError as error:
                    fewer = _without_refused(body["plain"]["input"])
                    if "safety check" not in str(error).lower() or len(fewer) == len(body["plain"]["input"]):
                        raise
                    again = await asyncio.to_thread(_encoded, {**body["plain"], "input": fewer}, request)
                    thought = self._thought(*await self._ask(client, again, on_first_byte), request)
                    return replace(thought, notes=(UNACKNOWLEDGED, *thought.notes))
        except transport.ConversationFullError:
            return Thought((), "full")

    async def _ask(
        self, client: Any, body: Json, on_first_byte: Callable[[], None]
    ) -> tuple[Any, list[Json], str | None]:
        """The whole response, its items and its number. Reasoning that streams is whole only when its item is done."""
        from openai import AsyncStream
        from openai.types.responses import Response, ResponseStreamEvent

        done: dict[int, Json] = {}
        response = None
        # What responses.create() does, but with bytes that a thread has made.
        async with await client.post(
            "/responses",
            content=body["content"],
            cast_to=Response,
            stream=True,
            stream_cls=AsyncStream[ResponseStreamEvent],
        ) as stream:
            transport.check_stream(self.spec, stream.response)
            on_first_byte()
            try:
                async for event in stream:
                    if event.type == "response.output_item.done":
                        done[event.output_index] = transport.as_sent(event.item)
                    elif event.type in {"response.completed", "response.incomplete", "response.failed"}:
                        response = event.response
                    elif event.type == "error":
                        raise transport.StreamError({"code": event.code, "message": event.message})
            except Exception:
                if response is None:
                    raise  # else it is whole, however the connection ended
            if response is None:
                raise transport.BrokenOffError
            items = [done[index] for index in sorted(done)] or list(map(transport.as_sent, response.output or ()))
            return response, items, stream.response.headers.get("x-request-id") or response.id

    async def close(self) -> None:
        await self._client.close()

    def _thought(self, response: Any, items: list[Json], request_id: str | None, request: Request) -> Thought:
        usage = _usage(response.usage)
        facts: Json = {"usage": usage, "request_id": request_id}
        if response.status == "failed":
            self._failed(response, facts)
        reason = response.incomplete_details.reason if response.incomplete_details else None
        if response.status == "incomplete" and reason != "content_filter":
            return Thought((), "cut", text=_message_text(items), **facts)
        refusals = [part["refusal"] for part in _parts(items) if part["type"] == "refusal"]
        if refusals or reason == "content_filter":
            why = transport.quoted(self.spec, " ".join(refusals) or "its vendor's filter stopped the answer.")
            record = transport.bare_record(self.spec, "refused", usage, request_id)
            raise ModelRefused(f"The model refused: {why}", "refusal" if refusals else "content_filter", record)
        wanted = tuple(one for item in items for one in _wanted(item, request))
        notes = tuple(f"The vendor left out a thought ({one.id}: {one.reason})." for one in _transformations(response))
        end: End = "calls" if wanted else "said"
        return Thought(tuple(items), end, wanted, _message_text(items), _reasoning(items), notes=notes, **facts)

    def _failed(self, response: Any, facts: Json) -> None:
        """Raises ModelProblem, ConversationFullError."""
        error = response.error
        body = {"code": error.code, "message": error.message} if error else {}
        problem = transport.by_status(self.spec, 200, body, "it failed without a reason", {})
        if isinstance(problem, ModelRefused):
            problem.record = transport.bare_record(self.spec, "refused", facts["usage"], facts["request_id"])
        raise problem


def _encoded(plain: Json, request: Request) -> Json:
    return {"plain": plain, "content": transport.encoded(plain, _data_url, request.picture)}


def _user(text: str, picture: str | None) -> Json:
    return {"role": "user", "content": [*([_text(text)] if text else []), *([_image(picture)] if picture else [])]}


def _text(text: str) -> Json:
    return {"type": "input_text", "text": text}


def _image(sha: str) -> Json:
    return {"type": "input_image", "detail": "original", "image_url": {"$img": sha}}


def _data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"


def _by_call(answers: Sequence[Answer]) -> list[list[Answer]]:
    calls: dict[str, list[Answer]] = {}
    for answer in answers:
        calls.setdefault(answer.wanted.call, []).append(answer)
    return list(calls.values())


def _screenshot(call: Sequence[Answer], picture: str | None) -> Json:
    own = [answer.picture for answer in call if answer.picture and answer.wanted.name == "screenshot"]
    sha = picture or next(iter(own), None)
    if sha is None:
        raise ValueError("a computer call is answered by a picture of the screen")
    output = {"type": "computer_screenshot", "image_url": {"$img": sha}}
    item: Json = {"type": "computer_call_output", "call_id": call[0].wanted.call, "output": output}
    if _acknowledged(call):
        item["acknowledged_safety_checks"] = _checked(call)[0].wanted.extra["checks"]
    return item


def _checked(call: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in call if answer.wanted.checks]


def _acknowledged(call: Sequence[Answer]) -> bool:
    checked = _checked(call)
    return bool(checked) and all(answer.acknowledged for answer in checked)


def _answer_text(call: Sequence[Answer], place: int) -> str:
    """A call may hold many actions, of one name: which of them it was is told by its place."""
    answer = call[place]
    name = answer.wanted.name or "An action"
    if len(call) > 1:
        name = f"{name} (action {place + 1} of {len(call)})"
    return f"{name}: {answer.text or ('done.' if answer.ok else 'it was not done.')}"


def _function_output(call: Sequence[Answer]) -> Json:
    texts = list(dict.fromkeys(answer.text for answer in call if answer.text))
    ok = all(answer.ok for answer in call)
    output = "\n".join(texts) or ("Done." if ok else "It was not done.")
    return {"type": "function_call_output", "call_id": call[0].wanted.call, "output": output}


def _without_refused(items: Sequence[Json]) -> list[Json]:
    """Without the calls whose checks a person refused, and without what was thought for them; the words about it stay."""
    acknowledged = {
        item["call_id"]
        for item in items
        if item.get("type") == "computer_call_output" and item.get("acknowledged_safety_checks")
    }
    refused = {
        item["call_id"]
        for item in items
        if item.get("type") == "computer_call"
        and item.get("pending_safety_checks")
        and item["call_id"] not in acknowledged
    }
    rest: list[Json] = []
    for item, following in zip(items, [*items[1:], {}], strict=True):
        if item.get("call_id") not in refused:
            rest.append(item)
        elif item["type"] == "computer_call" and following.get("type") not in {"computer_call", "function_call"}:
            while rest and rest[-1].get("type") == "reasoning":
                rest.pop()
    return rest


def _is_strict(schema: Json) -> bool:
    """Strict schemas name every property as required and allow no others, all the way down."""
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(properties):
            return False
        return all(_is_strict(one) for one in properties.values())
    return (
        _is_strict(schema["items"]) if isinstance(schema.get("items"), dict) else "type" in schema or "enum" in schema
    )


def _usage(usage: Any) -> Usage:
    if usage is None:
        return Usage()
    into, out = usage.input_tokens_details, usage.output_tokens_details
    return Usage(
        input=usage.input_tokens,
        cached=getattr(into, "cached_tokens", None),
        cache_written=getattr(into, "cache_write_tokens", None),
        output=usage.output_tokens,
        reasoning=getattr(out, "reasoning_tokens", None),
    )


def _transformations(response: Any) -> Sequence[Any]:
    return getattr(response, "input_transformations", None) or ()


def _parts(items: Sequence[Json]) -> Iterator[Json]:
    for item in items:
        if item["type"] == "message":
            yield from item["content"]


def _message_text(items: Sequence[Json]) -> str:
    return "".join(part["text"] for part in _parts(items) if part["type"] == "output_text").strip()


def _reasoning(items: Sequence[Json]) -> str:
    thought = [item for item in items if item["type"] == "reasoning"]
    texts = [part["text"] for item in thought for part in (item.get("content") or item.get("summary") or ())]
    return "\n\n".join(filter(None, texts))


def _wanted(item: Json, request: Request) -> list[Wanted]:
    if item["type"] == "function_call":
        return [_function(item, request)]
    if item["type"] != "computer_call":
        return []
    checks = item.get("pending_safety_checks") or []
    extra = {"kind": "computer", **({"checks": checks} if checks else {})}
    parts = list(actions(item, request))
    ours = tuple(Check(check["id"], check.get("code") or "", check.get("message") or "") for check in checks)
    # Asked of people once, at the first action; when there is none, at the first look.
    first = next((place for place, one in enumerate(parts) if one.kind == "act"), 0)
    return [
        replace(one, last=place == len(parts) - 1, checks=ours if place == first else (), extra=extra)
        for place, one in enumerate(parts)
    ]


def _function(item: Json, request: Request) -> Wanted:
    call, extra = item["call_id"], {"kind": "function"}
    try:
        params = arguments.arguments(item.get("arguments"))
    except UnusableError as problem:
        return Wanted(call, "bad", item["name"], problem=str(problem), extra=extra)
    return arguments.function_call(call, item["name"], params, request, extra)
