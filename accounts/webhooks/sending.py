"""One attempt over HTTP: to the very address that was checked, ten seconds in all, no redirects, no body read."""

import asyncio
import functools
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from ipaddress import IPv6Address

import httpx

from accounts.webhooks.outbox import Attempt, Outcome
from accounts.webhooks.signing import signed_headers
from accounts.webhooks.targets import Target, TargetRefused, check, host_of
from web.addresses import Address

TIMEOUT = 10.0  # seconds, the look-up of the name included


async def send(
    attempt: Attempt, in_thread: Callable[[Callable[[], Target]], Awaitable[Target]] | None = None
) -> Outcome:
    """Sign anew and send; never raises. `in_thread` does the look-up of the name, which blocks."""
    try:
        async with asyncio.timeout(TIMEOUT):
            target = await (in_thread or asyncio.to_thread)(functools.partial(check, attempt.url))
            return await _to_one_of(target, attempt)
    except TargetRefused as refused:
        return Outcome(None, f"The address is not allowed: {refused}")
    except (TimeoutError, httpx.TimeoutException):
        return Outcome(None, f"No answer within {TIMEOUT:.0f} seconds")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Outcome(None, _in_words(error))


async def _to_one_of(target: Target, attempt: Attempt) -> Outcome:
    """The first address that takes the connection."""
    if not target.addresses:
        return Outcome(None, f"The host name {target.url.host} could not be resolved")
    for address in target.addresses[:-1]:
        try:
            return await _to(address, target, attempt)
        except httpx.ConnectError:
            continue
    return await _to(target.addresses[-1], target, attempt)


async def _to(address: Address, target: Target, attempt: Attempt) -> Outcome:
    """TLS is checked against the host's name, though the connection goes to the address."""
    headers = {
        "Host": target.url.netloc.decode(),
        "Content-Type": "application/json",
        "User-Agent": "Countersign-Webhooks/1",
        "Accept": "*/*",
        "Connection": "close",
    } | signed_headers(attempt.secrets, attempt.event_id, int(time.time()), attempt.body)
    url = target.url.copy_with(host=f"[{address}]" if isinstance(address, IPv6Address) else str(address))
    async with httpx.AsyncClient(verify=_tls(), trust_env=False, follow_redirects=False, timeout=TIMEOUT) as client:
        named = {"sni_hostname": host_of(target.url)}
        request = client.build_request("POST", url, content=attempt.body, headers=headers, extensions=named)
        answer = await client.send(request, stream=True)
        await answer.aclose()
    return Outcome(answer.status_code, None if answer.is_success else _status_in_words(answer.status_code))


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _status_in_words(status: int) -> str:
    try:
        answered = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        answered = str(status)
    if 300 <= status < 400:
        return f"The receiver answered {answered}; redirects are not followed"
    return f"The receiver answered {answered}"


def _in_words(error: BaseException) -> str:
    """The innermost cause, as a person would say it."""
    causes = list(_causes(error))
    for cause in reversed(causes):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"The certificate is not valid: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"No secure connection: {(cause.reason or 'TLS failed').replace('_', ' ').lower()}"
        if isinstance(cause, socket.gaierror):
            return "The host name could not be resolved"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    if isinstance(error, httpx.RemoteProtocolError):
        return "The receiver closed the connection without a proper HTTP answer"
    return "The connection broke off"


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes
