"""Tools that ask people, and look at what they said. None waits for hours: a call answers with an id, and a later one goes on."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field, ValidationError

from approvals.access import decision_of, get_readable
from approvals.external.schemas import MOST_NAME, MOST_SECONDS, AskBody, Line, Risk
from approvals.external.services import ask
from approvals.models import Approval, Decision
from approvals.policies.schemas import ACTION_NAME
from mcp_server.tools.tool import Call, ExternalId, Outcome, Tool, Wait
from web.bodies import Body, Int, details
from web.errors import Invalid
from web.links import address, origin
from web.times import rfc3339

LONGEST_WAIT = 30  # seconds of a call: the time after which most clients give up is not much longer
TITLE = 200  # characters
ANSWER = "answer"  # id of the one question
Seconds = Annotated[
    Int,
    Field(
        ge=1, le=MOST_SECONDS, description="After how many seconds the request expires unanswered; never by default."
    ),
]
WaitSeconds = Annotated[
    Int,
    Field(ge=0, le=LONGEST_WAIT, description="Seconds to wait for an answer before this call says that it is pending."),
]
Option = Annotated[str, Field(min_length=1, max_length=200), Line]


class AskHuman(Body):
    question: Annotated[
        str,
        Field(min_length=1, max_length=4000, description="What a person is to answer. They see nothing else."),
        Line,
    ]
    options: (
        Annotated[
            list[Option],
            Field(min_length=1, max_length=20, description="Answers to choose from; people may write another one."),
        ]
        | None
    ) = None
    timeout: Seconds | None = None
    wait: WaitSeconds = 0
    external_id: ExternalId | None = None


class RequestApproval(Body):
    action: Annotated[
        str,
        Field(
            min_length=1,
            max_length=MOST_NAME,
            pattern=f"^{ACTION_NAME}$",
            description="Name of the action, such as mail.send. The rules of the team go by it: always use the same.",
        ),
    ]
    params: Annotated[
        dict[str, Any],
        Field(description="All parameters of the action, exactly as it will be carried out. People are shown these."),
    ]
    reason: Annotated[str, Field(min_length=1, max_length=16_000, description="Why you want to do it."), Line]
    risk: (
        Annotated[Risk, Field(description="The worst that it does: write, access (rights, secrets), spend, destroy.")]
        | None
    ) = None
    timeout: Seconds | None = None
    wait: WaitSeconds = 0
    external_id: ExternalId | None = None


class GetApproval(Body):
    id: Annotated[str, Field(max_length=128, description="The id that the request answered, such as apr_7Kq.")]
    wait: WaitSeconds = 0


def approval_data(call: Call, approval: Approval) -> dict[str, Any]:
    """The request as far as whoever asked needs it to go on."""
    data: dict[str, Any] = {
        "id": approval.id,
        "status": "pending" if approval.is_unsettled else approval.status,
        "kind": approval.kind,
        "title": approval.title,
        "url": address(origin(call.request), "approval", approval.id),
        "created_at": rfc3339(approval.created_at),
        "expires_at": rfc3339(approval.expires_at),
        "next": _next(approval),
    }
    if approval.run_id is not None:
        data["run_id"] = approval.run_id
    return data if approval.is_unsettled else data | _said(approval, decision_of(approval))


def _said(approval: Approval, decision: Decision | None) -> dict[str, Any]:
    """What came of it. `action` is the one that was approved, which a person may have changed."""
    data: dict[str, Any] = {"resolved_at": rfc3339(approval.resolved_at), "replaced_by": approval.replaced_by}
    if approval.action is not None:
        data["action"] = {"name": approval.action["name"], "params": (approval.action_now or approval.action)["params"]}
        data |= {"edited": approval.edited_action is not None, "action_hash": approval.action_hash}
    if decision is not None:
        data |= {
            "verdict": decision.verdict,
            "decided_by": decision.actor["name"],
            "via": decision.via,
            "note": decision.note,
        }
        data |= dict(_given(decision))
    return data


def _given(decision: Decision) -> Iterator[tuple[str, Any]]:
    """Answers without their marks, and that of a single question by itself."""
    if decision.answers:
        answers = {key: _plain(value) for key, value in decision.answers.items()}
        yield "answers", answers
        if len(answers) == 1:
            yield ANSWER, next(iter(answers.values()))
    if decision.values:
        yield "values", decision.values


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value["value"] if isinstance(value, dict) else value


_NEXT = {
    "pending": "No person has answered yet, which may take hours. Go on with other work and call get_approval with this id "
    "later. Do not ask again.",
    "approved": "A person agreed. Do exactly what `action` says, with its params, once.",
    "answered": "A person answered. Go on with that.",
    "rejected": "The answer is no. Do not do it; the note may say why.",
    "expired": "Nobody answered in time, which is no consent. Do not do it.",
    "cancelled": "It was taken back. Do not do it.",
    "void": "What it was about has changed, so it counts no more. Call get_approval with `replaced_by`, if there is one.",
}


def _next(approval: Approval) -> str:
    if approval.effect_pending:
        return f"A person has answered, and can take it back until {rfc3339(approval.undo_until)}. Call get_approval after that."
    return _NEXT.get(approval.status, "Read the note.")


def _outcome(call: Call, approval: Approval, wait: int) -> Outcome:
    """With a wait only where a person can still say something, or take it back."""
    waits = Wait(approval.id, wait, lambda actor: _read(replace(call, actor=actor), approval.id)) if wait else None
    task_id = approval.id if approval.asker_id == call.actor.id else None
    return Outcome(approval_data(call, approval), task_id=task_id, wait=waits if approval.is_unsettled else None)


def _read(call: Call, approval_id: str) -> Outcome:
    return Outcome(approval_data(call, get_readable(call.actor, approval_id)))


def _asked(call: Call, wait: int, **fields: Any) -> Outcome:
    source = {"name": call.envelope.client[:100]} if call.envelope.client else None
    try:
        body = AskBody.model_validate({"source": source, **fields})
    except ValidationError as error:
        raise Invalid(*details(error)) from error
    return _outcome(call, ask(call.actor, body).approval, wait)


def _headline(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TITLE else line[: TITLE - 1] + "…"


def _ask_human(call: Call, arguments: AskHuman) -> Outcome:
    options = [{"label": option} for option in arguments.options or ()]
    return _asked(
        call,
        arguments.wait,
        kind="question",
        title=_headline(arguments.question),
        questions=[{"id": ANSWER, "question": arguments.question, "options": options}],
        timeout_seconds=arguments.timeout,
        external_id=arguments.external_id,
    )


def _request_approval(call: Call, arguments: RequestApproval) -> Outcome:
    return _asked(
        call,
        arguments.wait,
        kind="tool",
        title=_headline(f"{arguments.action}: {arguments.reason}"),
        message=arguments.reason,
        action={"name": arguments.action, "params": arguments.params, "risk": arguments.risk},
        timeout_seconds=arguments.timeout,
        external_id=arguments.external_id,
    )


def _get(call: Call, arguments: GetApproval) -> Outcome:
    return _outcome(call, get_readable(call.actor, arguments.id), arguments.wait)


_ASKS = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": True}
TOOLS: tuple[Tool[Any], ...] = (
    Tool(
        name="ask_human",
        title="Ask a person",
        description=(
            "Put a question to the people of this team. They may answer in minutes or hours: the answer of this call may be "
            '{"status": "pending"}. Then call get_approval with its id later; do not ask again.'
        ),
        arguments=AskHuman,
        scopes=("approvals:request",),
        run=_ask_human,
        annotations=_ASKS,
    ),
    Tool(
        name="request_approval",
        title="Request approval",
        description=(
            "Ask before an action that cannot be taken back, spends money, gives access or reaches other people. Carry it out "
            'only when the status is "approved", and then with the params of the answer: a person may have changed them. '
            'While it is "pending" call get_approval with its id later; do not ask again.'
        ),
        arguments=RequestApproval,
        scopes=("approvals:request",),
        run=_request_approval,
        annotations=_ASKS,
    ),
    Tool(
        name="get_approval",
        title="Look at a request",
        description="What people said to a request, or that it is still pending.",
        arguments=GetApproval,
        scopes=("approvals:read", "approvals:request"),
        run=_get,
        annotations={"readOnlyHint": True, "openWorldHint": False},
    ),
)
