"""The methods of MCP that are served, and their results in the form of each version."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_types import methods
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION
from pydantic import ValidationError

from accounts.actor import Actor
from accounts.limits import spend
from mcp_server.errors import CapabilityMissing, InvalidParams, MethodNotFound
from mcp_server.long_work import EXTENSION, task_of
from mcp_server.messages import VERSIONS, Message
from mcp_server.tools import TOOLS
from mcp_server.tools.tool import Call, Outcome, Wait, refused
from web.bodies import details
from web.errors import Invalid, Refusal, following_up
from web.version import VERSION

SERVER = {"name": "countersign", "title": "Countersign", "version": VERSION}
INSTRUCTIONS = (
    "Countersign lets people decide what programs may do. Ask a person before what cannot be taken back. People answer in "
    "minutes or hours: when an answer is pending, keep its id, go on with other work and look again later. Do not ask the "
    "same thing twice."
)
LIST_MILLISECONDS = 3_600_000  # how long a client may keep the list of tools
LOOKS_PER_MINUTE = 120  # at one task
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"
Params = Mapping[str, Any]
Result = dict[str, Any]


@dataclass(frozen=True)
class Later:
    """The result may wait so long for people to decide the request; `read` makes it, for the caller as they are by then."""

    approval_id: str
    seconds: int
    read: Callable[[Actor], Result]


def result_of(call: Call, message: Message) -> Result | Later:
    """Raises RpcError; a Refusal that passes by itself; and what the database raises."""
    method, params, envelope = message.method, message.params, call.envelope
    in_protocol = (method, envelope.version) in methods.CLIENT_REQUESTS
    handler = _PROTOCOL.get(method) if in_protocol else _TASKS.get(method) if envelope.is_modern else None
    if handler is None:
        raise MethodNotFound
    if in_protocol:
        _require_fitting(method, envelope.version, params)
    elif EXTENSION not in envelope.extensions:
        raise CapabilityMissing(requiredCapabilities={"extensions": {EXTENSION: {}}})
    result = handler(call, params)
    if isinstance(result, Wait):
        wait = result
        return Later(wait.approval_id, wait.seconds, lambda actor: _formed(call, method, wait.read(actor).result()))
    return _formed(call, method, result)


def _formed(call: Call, method: str, result: Result) -> Result:
    """The result in the form of the call's version."""
    version = call.envelope.version
    if call.envelope.is_modern:
        result = {"resultType": "complete", "_meta": {_SERVER_INFO: SERVER}} | result
    if (method, version) not in methods.CLIENT_REQUESTS or result.get("resultType") == "task":
        return result
    return methods.serialize_server_result(method, version, result)


def _require_fitting(method: str, version: str, params: Params) -> None:
    try:
        methods.validate_client_request(method, version, params)
    except ValidationError as error:
        wrong = [{"loc": list(loc), "msg": text} for loc, text, _ in details(error)]
        raise InvalidParams(details=wrong) from error


def _initialize(call: Call, params: Params) -> Result:
    asked = params["protocolVersion"]
    return {
        "protocolVersion": asked if asked in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION,
        "capabilities": {"tools": {}},
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
    }


def _ping(call: Call, params: Params) -> Result:
    return {}


def _discover(call: Call, params: Params) -> Result:
    return {
        "supportedVersions": list(VERSIONS),
        "capabilities": {"tools": {}, "extensions": {EXTENSION: {}}},
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
        "ttlMs": LIST_MILLISECONDS,
        "cacheScope": "public",
    }


def _list_tools(call: Call, params: Params) -> Result:
    return {"tools": listed_tools(), "ttlMs": LIST_MILLISECONDS, "cacheScope": "public"}


@functools.cache
def listed_tools() -> list[dict[str, Any]]:
    return [tool.listed() for tool in TOOLS.values()]


def _call_tool(call: Call, params: Params) -> Result | Wait:
    tool = TOOLS.get(params["name"])
    if tool is None:
        raise InvalidParams(f"There is no tool {params['name']}.")
    try:
        with following_up():
            outcome = tool(call, params.get("arguments") or {})
    except ValidationError as error:
        outcome = refused(Invalid(*details(error)), call.request.request_id)
    except Refusal as refusal:
        if "Retry-After" in refusal.headers:  # it passes by itself: not for the model to mend
            raise
        outcome = refused(refusal, call.request.request_id)
    return _handle(call, outcome) or outcome.wait or outcome.result()


def _handle(call: Call, outcome: Outcome) -> Result | None:
    """A task in place of the answer, where the client can wait for one; or its end, for somebody may have been quick."""
    if outcome.task_id is None or EXTENSION not in call.envelope.extensions:
        return None
    task = task_of(call, outcome.task_id)
    return {"resultType": "task", **task.object()} if task.status == "working" else task.result.result()


def _task_id(params: Params) -> str:
    task_id = params.get("taskId")
    if not isinstance(task_id, str):
        raise InvalidParams("taskId must be text.")
    return task_id


def _get_task(call: Call, params: Params) -> Result:
    task_id = _task_id(params)
    task = task_of(call, task_id)
    spend(call.actor, f"looks:{task_id}", LOOKS_PER_MINUTE)
    return task.object()


def _update_task(call: Call, params: Params) -> Result:
    """Acknowledged: no task of ours ever asks the client for anything."""
    task_of(call, _task_id(params))
    return {}


def _cancel_task(call: Call, params: Params) -> Result:
    task = task_of(call, _task_id(params))
    if task.status == "working":
        task.cancel()
    return {}


_PROTOCOL: dict[str, Callable[[Call, Params], Result | Wait]] = {
    "initialize": _initialize,
    "ping": _ping,
    "server/discover": _discover,
    "tools/list": _list_tools,
    "tools/call": _call_tool,
}
_TASKS: dict[str, Callable[[Call, Params], Result]] = {
    "tasks/get": _get_task,
    "tasks/update": _update_task,
    "tasks/cancel": _cancel_task,
}
