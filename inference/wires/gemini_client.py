"""The client of Gemini's SDK, in a thread with an event loop of its own, and what its errors mean.

The SDK validates whole conversations and writes their pictures in the loop that asks: too long for one that drives runs.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem
from inference.specs import Spec
from inference.wires import transport
from inference.wires.base import Json

VENDOR = "https://generativelanguage.googleapis.com"
UNSIGNED = re.compile(r"thought.?signature", re.IGNORECASE)
_VERSION = re.compile(r"/(v\d\w*)/?$")
_BAD_KEY = re.compile(r"API_KEY_INVALID|API key (?:not valid|expired)", re.IGNORECASE)
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")


class Reply:
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

    async def ask(self, body: Json, on_first_byte: Callable[[], Any]) -> Reply:
        """Raises ModelProblem, ConversationFullError."""
        try:
            return await self._ask(body, on_first_byte)
        except (ModelProblem, transport.ConversationFullError):
            raise
        except Exception as error:  # noqa: BLE001 - what is none of the SDK's is raised again
            # The SDK's exception may hold the request with the key in it: it goes no further.
            raise self._problem(error) from None

    async def _ask(self, body: Json, on_first_byte: Callable[[], Any]) -> Reply:
        contents = [self.types.Content.model_validate(item) for item in body["contents"]]
        answer = Reply()
        stream: Any = await self.client.aio.models.generate_content_stream(
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


class SdkThread:
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


def _by_answer(spec: Spec, error: Any) -> Exception:
    """An error that the vendor sent, as a status or in the stream."""
    body = error.details if isinstance(error.details, Mapping) else {}
    message = str(error.message or error)
    status = error.code if isinstance(error.code, int) else 200
    if status == 400 and (_BAD_KEY.search(str(body)) or _BAD_KEY.search(message)):
        status = 401
    if status == 400 and UNSIGNED.search(message):
        return transport.ConversationFullError(message)
    headers = dict(getattr(error.response, "headers", None) or {})
    problem = transport.by_status(spec, status, body, message, headers)
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
