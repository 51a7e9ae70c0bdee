"""What all wires over HTTP share: their client, their limits of time, and what an error of an SDK means.

The SDKs raise the same kinds of exceptions under the same names; a wire hands over its SDK's module.
"""

import asyncio
import base64
import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from inference.errors import ModelBusy, ModelMisconfigured, ModelProblem, ModelRefused
from inference.records import CallRecord, Status, Usage
from inference.specs import Spec
from inference.wires.base import Json

CONNECT_SECONDS = 5.0
POOL_SECONDS = 60.0
SILENT_SECONDS = 60.0  # before the first byte, and between two
WHOLE_SECONDS = 300.0  # of one call
LONGEST_WORDS = 300  # characters of what a vendor says

_BUSY = frozenset({408, 409, 425, 429, 529})
# What vendors write into a body, or into a stream that had begun with 200, instead of a status.
_BUSY_WORDS = frozenset({
    "overloaded_error", "rate_limit_error", "api_error", "timeout_error",
    "rate_limit_exceeded", "server_error", "vector_store_timeout",
})  # fmt: skip
_STATUSES = frozenset(map(str, range(400, 600)))
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error"})
_REFUSED_WORDS = frozenset({
    "content_filter", "content_policy_violation", "invalid_prompt", "misalignment_policy_violation", "bio_policy", "cyber_policy",
    "image_content_policy_violation",
})  # fmt: skip
_TOO_LONG = re.compile(
    r"prompt is too long|context (?:window|length|size)|maximum context|too many total (?:text )?tokens|input token count",
    re.IGNORECASE,
)
_KEY = re.compile(r"\b(?:sk|pk|key|rk|AIza|Bearer )[-_A-Za-z0-9*.…]{6,}")


class ConversationFullError(Exception):
    """The vendor says that the conversation is longer than the model takes."""


class StreamError(Exception):
    """An error that came in the stream, as its JSON."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(str(body.get("message")))
        self.body = body


class BrokenOffError(Exception):
    """The stream ended before the answer was whole."""


def needs(module: str, spec: Spec) -> None:
    """Raises ModelMisconfigured where the SDK is not installed; does not import it."""
    try:
        missing = find_spec(module) is None
    except ModuleNotFoundError:  # of the package around it
        missing = True
    if missing:
        raise ModelMisconfigured(
            f"The profile {spec.name} needs the package {module}, which is not installed. Run: make models"
        )


def http_client(sdk: ModuleType, spec: Spec) -> Any:
    """Follows no redirections: the key would go with them. Proxies of the environment only where the profile says `proxy`."""
    return sdk.DefaultAsyncHttpxClient(
        timeout=sdk.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS, pool=POOL_SECONDS),
        follow_redirects=False,
        trust_env=bool(spec.options.get("proxy")),
    )


class Client:
    """An SDK and its client, made by the first call, in a thread: the import alone takes seconds."""

    def __init__(self, spec: Spec, connect: Callable[[Spec], tuple[ModuleType, Any]]) -> None:
        self._spec = spec
        self._connect = connect
        self._made: tuple[ModuleType, Any] | None = None
        self._opening = asyncio.Lock()

    async def ready(self) -> tuple[ModuleType, Any]:
        """Raises ModelMisconfigured for an address that is none."""
        async with self._opening:
            if self._made is None:
                try:
                    self._made = await asyncio.to_thread(self._connect, self._spec)
                except Exception as error:
                    if type(error).__name__ != "InvalidURL":
                        raise
                    raise ModelMisconfigured(f"The address of {self._spec.name} cannot be used in a request.") from None
            return self._made

    async def close(self) -> None:
        made, self._made = self._made, None
        if made is not None:
            await made[1].close()


@contextlib.asynccontextmanager
async def asking(sdk: ModuleType, spec: Spec) -> AsyncIterator[None]:
    """Around one call: its longest time, and its errors as ours. Raises ModelProblem, ConversationFullError."""
    try:
        async with asyncio.timeout(WHOLE_SECONDS):
            yield
    except (ModelProblem, ConversationFullError):
        raise
    except Exception as error:  # noqa: BLE001 - what is none of the SDK's is raised again
        # The SDK's exception holds the request with the key in it: it goes no further.
        raise problem_of(sdk, spec, error) from None


def problem_of(sdk: ModuleType, spec: Spec, error: Exception) -> Exception:
    """What the error means, as an exception to raise; the error itself where it is none of a vendor's, but a fault of ours."""
    if isinstance(error, sdk.APIStatusError):
        status = error.response.status_code
        return by_status(spec, status, error.body, str(error), error.response.headers)
    if isinstance(error, TimeoutError | sdk.APITimeoutError) or type(error).__name__.endswith("Timeout"):
        return ModelBusy(f"The model of {spec.name} was silent for too long.", 0.0)
    if isinstance(error, sdk.APIConnectionError):
        return _not_reached(spec, error.__cause__)
    if isinstance(error, sdk.APIError | StreamError):  # it came in the stream
        return by_status(spec, 200, error.body, str(error), {})
    return _half_answer(spec, error)


def _not_reached(spec: Spec, cause: BaseException | None) -> ModelProblem:
    if type(cause).__name__ in {"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"}:
        return ModelMisconfigured(f"The address or the key of {spec.name} cannot be used in a request.")
    return ModelBusy(f"The server of {spec.name} could not be reached.", 0.0)


def _half_answer(spec: Spec, error: Exception) -> Exception:
    if isinstance(error, BrokenOffError) or type(error).__module__.startswith(("httpx2", "httpcore")):
        return ModelBusy(f"The answer of {spec.name} broke off.", 0.0)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return ModelBusy(f"The answer of {spec.name} could not be read.", 0.0)
    return error


def by_status(spec: Spec, status: int, body: Any, message: str, headers: Mapping[str, str]) -> Exception:
    """`body`: the error's JSON, as far as it is some."""
    words = facts(body)
    quote = quoted(spec, words.get("message") or message)
    kinds = {str(words.get("type")), str(words.get("code"))}
    if status < 300 and kinds & _STATUSES:  # routers write the status of the server behind them into the stream
        status = int(min(kinds & _STATUSES))
    if kinds & _NO_CREDIT:
        return ModelMisconfigured(
            f"The account of {spec.name} has no credit left or has reached its limit ({status}): {quote}"
        )
    if status in _BUSY or status >= 500 or (status < 300 and kinds & _BUSY_WORDS):
        why = "is overloaded or limits how often it is asked" if status in {200, 429, 529} else "cannot answer now"
        return ModelBusy(f"The model of {spec.name} {why} ({status}): {quote}", retry_after(headers))
    if kinds & _REFUSED_WORDS:
        return ModelRefused(
            f"The vendor of {spec.name} refused the request: {quote}", str(words.get("code") or words.get("type"))
        )
    if status == 413 or _is_too_long(str(words.get("code")), quote):
        return ConversationFullError(quote)
    return ModelMisconfigured(_misconfigured(spec, status, quote))


def _misconfigured(spec: Spec, status: int, quote: str) -> str:
    if status == 401:
        return f"The key of {spec.name} was refused (401): {quote}"
    if status == 403:
        return f"The key of {spec.name} may not be used for this (403): {quote}"
    if status == 404:
        return f"There is no model “{spec.model}” at the address of {spec.name} (404): {quote}"
    if 300 <= status < 400:
        return f"The address of {spec.name} leads to another one ({status}); give the address that answers."
    return f"The request to {spec.name} was not accepted ({status}): {quote}"


def _is_too_long(code: Any, quote: str) -> bool:
    return code in {"context_length_exceeded", "string_above_max_length"} or bool(_TOO_LONG.search(quote))


def facts(body: Any) -> dict[str, Any]:
    """The `error` of a vendor's error body: type, code, message."""
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    return dict(inner) if isinstance(inner, Mapping) else {}


def quoted(spec: Spec, text: Any) -> str:
    """The vendor's words, short and without anything that could be a key."""
    words = " ".join(str(text).split())
    if spec.key:
        words = words.replace(spec.key, "[key]")
    return _KEY.sub("[key]", words)[:LONGEST_WORDS]


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds from now that the vendor asks to wait; 0.0 where it does not say."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        with contextlib.suppress(ValueError, TypeError):
            seconds = float(headers[name]) / unit if name in headers else -1.0
            if 0 <= seconds < float("inf"):
                return seconds
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return max(0.0, (parsedate_to_datetime(headers["retry-after"]) - datetime.now(UTC)).total_seconds())
    return 0.0


def encoded(body: Json, show: Callable[[str, str], Any], picture: Callable[[str], bytes]) -> bytes:
    """The body as JSON, with each {"$img": SHA-256} of it replaced by `show`(its media type, its base64).

    Megabytes of base64 are joined in, not written by the JSON encoder, which would look at each character and let nothing else
    of the process run meanwhile. Reads files; raises FileNotFoundError.
    """
    mark = secrets.token_hex(16)  # no text of a screen can hold it
    pictures: list[bytes] = []

    def put(value: Any) -> Any:
        if isinstance(value, dict):
            if "$img" not in value:
                return {name: put(one) for name, one in value.items()}
            content = picture(value["$img"])
            pictures.append(base64.b64encode(content))
            shown, beside = (
                show(media_type(content), mark),
                {name: one for name, one in value.items() if name != "$img"},
            )
            return {**shown, **beside} if beside else shown
        return [put(one) for one in value] if isinstance(value, list) else value

    pieces = json.dumps(put(body), separators=(",", ":")).encode().split(mark.encode())
    return b"".join(part for pair in zip(pieces, [*pictures, b""], strict=True) for part in pair)


def check_stream(spec: Spec, response: Any) -> None:
    """Raises ModelMisconfigured where something else than a model answered: an address that leads to a web page says 200 too."""
    kind = response.headers.get("content-type", "")
    if not kind.startswith("text/event-stream"):
        raise ModelMisconfigured(
            f"What answers at the address of {spec.name} is no such model: it sent “{quoted(spec, kind)[:60]}” and no stream."
        )


def media_type(picture: bytes) -> str:
    if picture.startswith(b"\xff\xd8"):
        return "image/jpeg"
    return "image/webp" if picture.startswith(b"RIFF") else "image/png"


def bare_record(spec: Spec, status: Status, usage: Usage, request_id: str | None) -> CallRecord:
    """What a wire knows of a call that ended with an exception: it may have been paid."""
    now = datetime.now(UTC)
    return CallRecord(spec.name, spec.wire, spec.model, "act", status, now, now, request_id=request_id, usage=usage)


def as_sent(block: Any) -> dict[str, Any]:
    """An item of an answer as it came, byte for byte; nulls that only say that a field is absent are left out."""
    sent: dict[str, Any] = block.to_dict(mode="json", exclude_unset=True, warnings=False)
    return {name: one for name, one in sent.items() if one is not None}
