"""Gemini's generateContent with its computer use tool.

What the model said is sent back as it came, its signatures included (bytes stand in the log as base64). Every functionCall is
answered by a functionResponse, as many and in the same order.
"""

import asyncio
import base64
import threading
from collections.abc import Callable, Sequence
from typing import Any

from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem, ModelRefused
from inference.records import Usage
from inference.specs import Spec
from inference.wires import arguments, gemini_calls, transport
from inference.wires.base import Answer, End, Json, Request, Thought, View, Wanted
from inference.wires.gemini_client import UNSIGNED, Reply, SdkThread
from inference.wires.scaling import view_of

LOST = "The vendor could not follow its own earlier thoughts any more; the conversation begins anew."
MALFORMED = "Not executed: your call could not be read. Call again, one function at a time, with all of its arguments."

_UNREADABLE = frozenset(
    {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}
)
_ENDED = frozenset({"STOP", "CONTINUATION", *_UNREADABLE})
_BUSY = frozenset({"OTHER", "FINISH_REASON_UNSPECIFIED"})


class GeminiWire:
    """Options: computer (older: the functions of 2.5 and 3), max_side, max_tokens, effort (thinking level), extra_body, proxy."""

    grid: int | None = gemini_calls.GRID

    def __init__(self, spec: Spec) -> None:
        transport.needs("google.genai", spec)
        if not spec.key:
            raise ModelMisconfigured(f"The profile {spec.name} has no key.")
        self.spec = spec
        self._older = spec.options.get("computer") == "older"
        self._thread: SdkThread | None = None
        self._opening = asyncio.Lock()

    def view(self, width: int, height: int) -> View:
        return view_of(width, height, self.spec.options)

    def opening(self, text: str, picture: str | None) -> list[Json]:
        # An empty text is not accepted.
        return [
            {"role": "user", "parts": [*([{"text": text}] if text else []), *([_picture(picture)] if picture else [])]}
        ]

    def note(self, text: str, picture: str | None = None) -> list[Json]:
        return self.opening(text, picture)

    def results(self, answers: Sequence[Answer], picture: str | None) -> list[Json]:
        """One user item: a functionResponse for each call, the screen with the last; words about what was no call."""
        parts: list[Json] = []
        words: list[str] = []
        for call in _by_call(answers):
            if "function" in call[0].wanted.extra:
                parts.append({"functionResponse": _response(call, picture)})
            else:
                words += [answer.text for answer in call if answer.text]
        if parts and picture:
            parts[-1]["functionResponse"].setdefault("parts", []).append(_picture(picture))
        elif picture:
            words, parts = [], [{"text": "\n".join(words)}, _picture(picture)] if words else [_picture(picture)]
        parts += [{"text": text} for text in words]
        return [{"role": "user", "parts": parts}] if parts else []

    def body(self, request: Request) -> Json:
        """{contents, config}, pictures as base64."""
        options = self.spec.options

        def shown(sha: str) -> Json:
            content = request.picture(sha)
            return {"mimeType": transport.media_type(content), "data": base64.b64encode(content).decode("ascii")}

        config: Json = {"thinking_config": {"include_thoughts": True}, "automatic_function_calling": {"disable": True}}
        if options.get("effort"):
            config["thinking_config"]["thinking_level"] = str(options["effort"]).upper()
        if request.system:
            config["system_instruction"] = request.system
        if tools := self._tools(request):
            config["tools"] = tools
        if options.get("max_tokens"):
            config["max_output_tokens"] = int(options["max_tokens"]) * (2 if request.longer else 1)
        if request.schema is not None:
            config |= {"response_mime_type": "application/json", "response_json_schema": request.schema}
        return {"contents": [_with_pictures(item, shown) for item in request.log], "config": config}

    def _tools(self, request: Request) -> list[Json]:
        tools: list[Json] = []
        covered: set[str] = set()
        if request.computer:
            excluded = gemini_calls.excluded(request, older=self._older)
            functions = gemini_calls.predefined(request, older=self._older).items()
            covered = {action for name, action in functions if name not in excluded}
            tools.append({"computer_use": self._computer(request, excluded)})
        own = {tool.name for tool in request.tools}
        declared = [
            {"name": tool.name, "description": tool.description, "parameters_json_schema": tool.schema}
            for tool in arguments.functions(request)
            if tool.name in own or not (tool.name in covered or "x" in tool.schema["properties"])
        ]
        return [*tools, *([{"function_declarations": declared}] if declared else [])]

    def _computer(self, request: Request, excluded: list[str]) -> Json:
        kind = "BROWSER" if request.machine_kind == "browser" else "DESKTOP"
        tool: Json = {"environment": f"ENVIRONMENT_{kind}"}
        if not self._older:
            tool["enable_prompt_injection_detection"] = True
        return {**tool, "excluded_predefined_functions": excluded} if excluded else tool

    async def send(self, body: Json, request: Request, on_first_byte: Callable[[], None]) -> Thought:
        """Raises ModelBusy, ModelRefused, ModelMisconfigured."""
        thread, loop = await self._ready(), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(transport.WHOLE_SECONDS):
                answer = await thread.do(thread.connection.ask(body, lambda: loop.call_soon_threadsafe(on_first_byte)))
            return self._thought(answer, request)
        except (ModelProblem, transport.ConversationFullError) as problem:
            if isinstance(problem, ModelProblem):
                raise
            return Thought((), "full", notes=(LOST,) if UNSIGNED.search(str(problem)) else ())
        except TimeoutError:
            raise ModelBusy(f"The model of {self.spec.name} was silent for too long.", 0.0) from None

    async def _ready(self) -> SdkThread:
        """The SDK and its client, made in their thread: the import alone takes seconds."""
        async with self._opening:
            if self._thread is None:
                thread = SdkThread(self.spec)
                try:
                    await thread.start()
                except BaseException:
                    # Nobody waits for an import that is under way: who was cancelled goes at once.
                    threading.Thread(target=thread.stop, name="gemini-end", daemon=True).start()
                    raise
                self._thread = thread
        return self._thread

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.do(thread.connection.close())
            await asyncio.to_thread(thread.stop)

    def _thought(self, answer: Reply, request: Request) -> Thought:
        usage = _usage(answer.usage)
        facts: Json = {"usage": usage, "request_id": answer.request_id}
        text = "".join(part["text"] for part in answer.parts if part.get("text") and not part.get("thought")).strip()
        reason = answer.blocked or answer.finish
        if reason in _BUSY and not answer.parts:
            raise ModelBusy(f"The model of {self.spec.name} ended its answer without a reason.", 0.0)
        if reason == "MAX_TOKENS":
            return Thought((), "cut", text=text, **facts)
        if reason == "MISSING_THOUGHT_SIGNATURE":
            return Thought((), "full", notes=(LOST,), **facts)
        if reason not in _ENDED | _BUSY:
            why = transport.quoted(self.spec, answer.message or text or f"its vendor's filter says {reason}.")
            record = transport.bare_record(self.spec, "refused", usage, answer.request_id)
            raise ModelRefused(f"The model refused: {why}", str(reason), record)
        calls = [part["functionCall"] for part in answer.parts if part.get("functionCall")]
        items = ({"role": "model", "parts": answer.parts},) if answer.parts else ()
        thought = "".join(part["text"] for part in answer.parts if part.get("text") and part.get("thought")).strip()
        if reason in _UNREADABLE:  # calls among it may be anything: nothing of them stays that had to be answered
            return Thought(
                () if calls else items, "calls", (Wanted("", "bad", problem=MALFORMED),), text, thought, **facts
            )
        wanted = [one for place, call in enumerate(calls) for one in _wanted(call, place, request)]
        end: End = "paused" if reason == "CONTINUATION" and not wanted else "calls" if wanted else "said"
        return Thought(items, end, tuple(wanted), text, thought, **facts)


def _with_pictures(value: Any, show: Callable[[str], Json]) -> Any:
    """A copy of an item in which {"inlineData": {"$img": SHA-256}} holds the picture."""
    if isinstance(value, dict):
        return (
            show(value["$img"]) if "$img" in value else {name: _with_pictures(one, show) for name, one in value.items()}
        )
    return [_with_pictures(one, show) for one in value] if isinstance(value, list) else value


def _picture(sha: str) -> Json:
    return {"inlineData": {"$img": sha}}


def _by_call(answers: Sequence[Answer]) -> list[list[Answer]]:
    calls: dict[str, list[Answer]] = {}
    for answer in answers:
        calls.setdefault(answer.wanted.call, []).append(answer)
    return list(calls.values())


def _response(call: Sequence[Answer], picture: str | None) -> Json:
    """What came of all actions of one call. Acknowledged is what a person agreed to, and nothing else."""
    wanted, ok = call[0].wanted, all(answer.ok for answer in call)
    texts = "\n".join(dict.fromkeys(answer.text for answer in call if answer.text))
    checked = [answer for answer in call if answer.wanted.checks]
    response: Json = {"output": texts or "Done."} if ok else {"error": texts or "It was not done."}
    if checked and all(answer.acknowledged for answer in checked):
        response["safety_acknowledgement"] = True
    elif checked and ok:
        response = {"error": gemini_calls.UNAGREED}
    looks = [answer.picture for answer in call if answer.picture and answer.picture != picture]
    return {
        **({"id": wanted.extra["id"]} if wanted.extra.get("id") else {}),
        "name": wanted.extra["function"],
        "response": response,
        **({"parts": [_picture(sha) for sha in looks]} if looks else {}),
    }


def _wanted(call: Json, place: int, request: Request) -> list[Wanted]:
    """A call without an id gets one of ours, which is not sent."""
    call_id = call.get("id") or f"gemini-{len(request.log)}-{place}"
    extra = {"function": str(call.get("name") or ""), "id": call.get("id")}
    return gemini_calls.wanted(call, call_id, request, extra)


def _usage(usage: Any) -> Usage:
    """Of what the vendor counts, thoughts come on top of the answer; cached input is a part of the input."""
    if usage is None:
        return Usage()
    said, thought = usage.candidates_token_count, usage.thoughts_token_count
    return Usage(
        input=usage.prompt_token_count,
        cached=usage.cached_content_token_count,
        output=None if said is None and thought is None else (said or 0) + (thought or 0),
        reasoning=thought,
    )
