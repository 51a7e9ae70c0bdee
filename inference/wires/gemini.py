"""Gemini's generateContent with its computer use tool.

What the model said is sent back as it came, its signatures included (bytes stand in the log as base64). Every functionCall is
answered by a functionResponse, as many and in the same order. The SDK validates whole conversations and writes their pictures
in the event loop that asks, so it gets a thread with a loop of its own.
"""

import asyncio
import base64
import contextlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem, ModelRefused
from inference.profiles import Spec
from inference.records import Usage
from inference.scaling import view_of
from inference.wires import gemini_calls, reading, transport
from inference.wires.base import Answer, End, Json, Request, Thought, View, Wanted

VENDOR = "https://generativelanguage.googleapis.com"
LOST = "The vendor could not follow its own earlier thoughts any more; the conversation begins anew."
MALFORMED = "Not executed: your call could not be read. Call again, one function at a time, with all of its arguments."

_UNREADABLE = frozenset(
    {"MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"}
)
_ENDED = frozenset({"STOP", "CONTINUATION", *_UNREADABLE})
_BUSY = frozenset({"OTHER", "FINISH_REASON_UNSPECIFIED"})
_VERSION = re.compile(r"/(v\d\w*)/?$")
_UNSIGNED = re.compile(r"thought.?signature", re.IGNORECASE)
_BAD_KEY = re.compile(r"API_KEY_INVALID|API key (?:not valid|expired)", re.IGNORECASE)
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")


class GeminiWire:
    """Options: computer (older: the functions of 2.5 and 3), max_side, max_tokens, effort (thinking level), extra_body, proxy."""

    def __init__(self, spec: Spec) -> None:
        transport.needs("google.genai", spec)
        if not spec.key:
            raise ModelMisconfigured(f"The profile {spec.name} has no key.")
        self.spec = spec
        self._older = spec.options.get("computer") == "older"
        self._thread: _Thread | None = None
        self._opening = asyncio.Lock()

    def view(self, width: int, height: int) -> View:
        return view_of(width, height, self.spec.options)

    def opening(self, text: str, picture: str | None) -> list[Json]:
        return [{"role": "user", "parts": [{"text": text}, *([_picture(picture)] if picture else [])]}]

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
            for tool in reading.functions(request)
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
            return Thought((), "full", notes=(LOST,) if _UNSIGNED.search(str(problem)) else ())
        except TimeoutError:
            raise ModelBusy(f"The model of {self.spec.name} was silent for too long.", 0.0) from None

    async def _ready(self) -> "_Thread":
        """The SDK and its client, made in their thread: the import alone takes seconds."""
        async with self._opening:
            if self._thread is None:
                thread = _Thread(self.spec)
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

    def _thought(self, answer: "_Content", request: Request) -> Thought:
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


class _Content:
    """An answer as it grows: parts in their order, nothing of them joined, as signatures belong to single ones."""

    def __init__(self) -> None:
        self.parts: list[Json] = []
        self.finish: str | None = None
        self.blocked: str | None = None
        self.message: str | None = None
        self.usage: Any = None
        self.request_id: str | None = None

    def take(self, chunk: Any) -> None:
        self.request_id = chunk.response_id or self.request_id
        self.usage = chunk.usage_metadata or self.usage
        feedback = chunk.prompt_feedback
        if feedback is not None and feedback.block_reason is not None:
            self.blocked, self.message = _word(feedback.block_reason), feedback.block_reason_message
        for candidate in (chunk.candidates or ())[:1]:
            if candidate.content is not None:
                self.parts += _dumped(candidate.content).get("parts") or []
            if candidate.finish_reason is not None:
                self.finish, self.message = _word(candidate.finish_reason), candidate.finish_message


class _Connection:
    """The client of the SDK; lives in the thread's loop."""

    def __init__(self, spec: Spec) -> None:
        import httpx2
        from google import genai
        from google.genai import errors, types

        self.spec = spec
        self.httpx, self.errors, self.types = httpx2, errors, types
        address, version = _address(spec.base_url or VENDOR)
        limits = httpx2.Timeout(
            transport.SILENT_SECONDS, connect=transport.CONNECT_SECONDS, pool=transport.POOL_SECONDS
        ).as_dict()

        async def limited(request: Any) -> None:
            # The SDK has one number for all of them.
            request.extensions["timeout"] = limits

        async def checked(response: Any) -> None:
            if response.status_code == 200:
                transport.check_stream(spec, response)

        hooks: Any = {"request": [limited], "response": [checked]}
        trusting = bool(spec.options.get("proxy"))
        self.http = httpx2.AsyncClient(follow_redirects=False, trust_env=trusting, event_hooks=hooks)
        # The SDK makes a second client where it is given none; this one loads no certificates.
        self.unused = httpx2.Client(transport=httpx2.MockTransport(lambda request: httpx2.Response(500)))
        self.client = genai.Client(
            api_key=spec.key,
            enterprise=False,
            http_options=types.HttpOptions(
                base_url=address,
                api_version=version,
                timeout=round(transport.WHOLE_SECONDS * 1000),
                retry_options=types.HttpRetryOptions(attempts=1),
                httpx_async_client=self.http,
                httpx_client=self.unused,
                extra_body=spec.options.get("extra_body"),
            ),
        )

    async def ask(self, body: Json, on_first_byte: Callable[[], Any]) -> _Content:
        """Raises ModelProblem, ConversationFullError."""
        try:
            return await self._ask(body, on_first_byte)
        except (ModelProblem, transport.ConversationFullError):
            raise
        except Exception as error:  # noqa: BLE001 - what is none of the SDK's is raised again
            # The SDK's exception may hold the request with the key in it: it goes no further.
            raise self._problem(error) from None

    async def _ask(self, body: Json, on_first_byte: Callable[[], Any]) -> _Content:
        contents = [self.types.Content.model_validate(item) for item in body["contents"]]
        answer = _Content()
        stream = await self.client.aio.models.generate_content_stream(
            model=self.spec.model, contents=contents, config=self.types.GenerateContentConfig(**body["config"])
        )
        try:
            async with contextlib.aclosing(stream) as chunks:
                async for chunk in chunks:
                    on_first_byte()
                    answer.take(chunk)
        except Exception:
            if answer.finish is None:
                raise  # else it is whole, however the connection ended
        if answer.finish is None and answer.blocked is None:
            raise transport.BrokenOffError
        return answer

    def _problem(self, error: Exception) -> Exception:
        if isinstance(error, self.errors.APIError):
            return _by_answer(self.spec, error)
        name, http = self.spec.name, self.httpx
        meanings: tuple[tuple[Any, ModelProblem], ...] = (
            (
                http.UnsupportedProtocol | http.InvalidURL | http.LocalProtocolError,
                ModelMisconfigured(f"The address or the key of {name} cannot be used in a request."),
            ),
            (http.TimeoutException, ModelBusy(f"The model of {name} was silent for too long.", 0.0)),
            (http.ConnectError, ModelBusy(f"The server of {name} could not be reached.", 0.0)),
            (transport.BrokenOffError | http.TransportError, ModelBusy(f"The answer of {name} broke off.", 0.0)),
            (
                self.errors.UnknownApiResponseError | UnicodeDecodeError,
                ModelBusy(f"The answer of {name} could not be read.", 0.0),
            ),
        )
        return next((problem for kinds, problem in meanings if isinstance(error, kinds)), error)

    async def close(self) -> None:
        await self.client.aio.aclose()
        await self.http.aclose()
        self.unused.close()


class _Thread:
    """A thread with an event loop, and the connection in it."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name=f"gemini-{spec.name}", daemon=True)
        self.connection: _Connection

    async def start(self) -> None:
        self.thread.start()
        await self.do(self._connect())

    async def _connect(self) -> None:
        self.connection = _Connection(self.spec)

    async def do(self, work: Any) -> Any:
        """Cancelled with whoever waits for it."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop)
        self.thread.join(10)
        if not self.thread.is_alive():
            self.loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        for _ in range(3):  # connections that were closed are gone only after a turn of the loop
            await asyncio.sleep(0)
        self.loop.stop()


def _address(base_url: str) -> tuple[str, str | None]:
    """The SDK adds the version to the address itself."""
    match = _VERSION.search(base_url)
    return (base_url[: match.start()], match[1]) if match else (base_url, None)


def _dumped(content: Any) -> Json:
    dumped: Json = content.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


def _word(reason: Any) -> str:
    return str(getattr(reason, "value", reason))


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


def _by_answer(spec: Spec, error: Any) -> Exception:
    """An error that the vendor sent, as a status or in the stream."""
    body = error.details if isinstance(error.details, Mapping) else {}
    said = str(error.message or error)
    status = error.code if isinstance(error.code, int) else 200
    if status == 400 and (_BAD_KEY.search(str(body)) or _BAD_KEY.search(said)):
        status = 401
    if status == 400 and _UNSIGNED.search(said):
        return transport.ConversationFullError(said)
    headers = dict(getattr(error.response, "headers", None) or {})
    problem = transport.by_status(spec, status, body, said, headers)
    if isinstance(problem, ModelBusy) and not problem.retry_after:
        problem.retry_after = _delay(body)
    return problem


def _delay(body: Mapping[str, Any]) -> float:
    """Seconds, from the RetryInfo of an error; 0.0 where there is none."""
    details = transport.facts(body).get("details")
    for detail in details if isinstance(details, list) else ():
        match = _DELAY.fullmatch(str(detail.get("retryDelay"))) if isinstance(detail, Mapping) else None
        if match:
            return float(match[1])
    return 0.0
