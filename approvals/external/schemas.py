"""What a program outside may ask, and what it is answered (docs/api/approvals.md section 13)."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator
from pydantic.config import JsonDict, JsonValue

from accounts.webhooks.schemas import Url
from approvals.answers.reading import asks_secret
from approvals.kinds import KINDS
from approvals.policies.schemas import ACTION_NAME, HOST_NAME, Need
from approvals.schemas import ApprovalObject, Note
from web.bodies import Body, Int, SmallObject
from web.json_schema import validation
from web.json_values import Detail, size

MAX_ACTION_BYTES = 64 * 1024
MOST_NAME = 128  # characters of an action's name
MOST_SECONDS = 30 * 24 * 3600
AskedKind = Literal["approval", "tool", "question", "input"]
Risk = Literal["read", "write", "access", "spend", "destroy"]
RISKS: tuple[str, ...] = get_args(Risk)
_HOST = re.compile(rf"{HOST_NAME}\Z")
_NEEDED = {"tool": "action", "question": "questions", "input": "input_schema"}  # field that a kind cannot do without
_OF_KIND = {"questions": "question", "input_schema": "input"}  # fields that mean something for one kind only


def _split(url: str) -> SplitResult:
    """Raises ValueError for what no browser opens as a page."""
    parts = urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or any(c.isspace() or not c.isprintable() for c in url)
    ):
        raise ValueError("Must be an http or https address.")
    return parts


def _page(url: str) -> str:
    _split(url)
    return url


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("Must not be blank.")
    return text


PageUrl = Annotated[Url, AfterValidator(_page)]  # shown to people, never fetched
Line = AfterValidator(_not_blank)
Secretless = "A program outside cannot be given a secret: its answer is read over the API, which shows none."


class AskedAction(Body):
    """What the program will do if people approve. `params` are bound by action_hash; `host` and `risk` are for policies."""

    name: Annotated[str, Field(min_length=1, max_length=MOST_NAME, pattern=f"^{ACTION_NAME}$")]
    params: dict[str, Any] = Field(default_factory=dict)
    host: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    url: PageUrl | None = None
    risk: Risk | None = None

    @field_validator("host")
    @classmethod
    def _is_host(cls, host: str | None) -> str | None:
        if host is not None and not _HOST.match(host.lower()):
            raise ValueError("Must be a host such as shop.test.")
        return host.lower() if host else host

    @model_validator(mode="after")
    def _host_of_url(self) -> "AskedAction":
        """An address that is given says the host too: policies are held against it."""
        host = (_split(self.url).hostname or "").rstrip(".").lower() if self.url else None
        if host and self.host and host != self.host:
            raise ValueError("host and url name two hosts.")
        if host and self.host is None and _HOST.match(host):
            self.host = host
        return self

    @model_validator(mode="after")
    def _fits(self) -> "AskedAction":
        if size(self.model_dump()) > MAX_ACTION_BYTES:
            raise ValueError(f"Must be at most {MAX_ACTION_BYTES // 1024} KiB as JSON: nobody could be shown it whole.")
        return self


class AskedOption(Body):
    label: Annotated[str, Field(min_length=1, max_length=200), Line]
    description: Annotated[str, Field(max_length=1000)] | None = None
    recommended: bool = False


class AskedQuestion(Body):
    """`id`: by which the answer is found; without one q1, q2, …"""

    question: Annotated[str, Field(min_length=1, max_length=4000), Line]
    id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    header: Annotated[str, Field(max_length=100)] | None = None
    multi_select: bool = False
    allow_custom: bool = True
    secret: bool = False
    options: Annotated[list[AskedOption], Field(max_length=20)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits(self) -> "AskedQuestion":
        labels = [option.label for option in self.options]
        if len(set(labels)) < len(labels):
            raise ValueError("Two options have the same label.")
        if not self.options and not self.allow_custom:
            raise ValueError("Without options the answer has to be free text: allow_custom must be true.")
        if self.secret:
            raise ValueError(Secretless)
        return self


class Link(Body):
    label: Annotated[str, Field(min_length=1, max_length=200), Line]
    url: PageUrl


class Evidence(Body):
    """What people look at before they decide. `pictures`: Base64 of a PNG or JPEG each."""

    pictures: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=4)] = Field(default_factory=list)
    links: Annotated[list[Link], Field(max_length=10)] = Field(default_factory=list)


class Source(Body):
    """Which program asks, in its own words; `ref`: what it calls its run or job."""

    name: Annotated[str, Field(min_length=1, max_length=100), Line]
    url: PageUrl | None = None
    ref: Annotated[str, Field(min_length=1, max_length=200)] | None = None


def _given(name: str) -> JsonDict:
    return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}


def _conditions() -> list[JsonValue]:
    """misfits() as JSON Schema."""
    rules: list[JsonValue] = []
    for kind, name in _NEEDED.items():
        rules.append({"if": {"properties": {"kind": {"const": kind}}}, "then": _given(name)})
    for name, kind in _OF_KIND.items():
        rules.append({"if": _given(name), "then": {"properties": {"kind": {"const": kind}}}})
    data: list[JsonValue] = [kind for kind in get_args(AskedKind) if KINDS[kind].takes_data]
    default: JsonDict = {"required": ["on_timeout"], "properties": {"on_timeout": {"const": "default_answer"}}}
    return [*rules, {"if": default, "then": {"properties": {"kind": {"enum": data}}}}]


class AskBody(Body):
    """POST /v1/approvals."""

    model_config = ConfigDict(json_schema_extra={"allOf": _conditions()})

    kind: AskedKind
    title: Annotated[str, Field(min_length=1, max_length=200), Line]
    message: Annotated[str, Field(max_length=16_000)] | None = None
    action: AskedAction | None = None
    questions: Annotated[list[AskedQuestion], Field(min_length=1, max_length=10)] | None = None
    input_schema: dict[str, Any] | None = None
    evidence: Evidence | None = None
    source: Source | None = None
    external_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    end_user: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    priority: Annotated[Int, Field(ge=0, le=9)] = 5
    assignee: Annotated[str, Field(min_length=1, max_length=40)] | None = None
    quorum: Annotated[list[Need], Field(max_length=20)] | None = None
    four_eyes: bool = False
    timeout_seconds: Annotated[Int, Field(ge=1, le=MOST_SECONDS)] | None = None
    on_timeout: Literal["reject", "default_answer", "expire"] = "expire"
    webhook_url: Url | None = None
    metadata: SmallObject | None = None

    @field_validator("questions")
    @classmethod
    def _named_once(cls, questions: list[AskedQuestion] | None) -> list[AskedQuestion] | None:
        for number, question in enumerate(questions or (), start=1):
            question.id = question.id or f"q{number}"
        ids = [question.id for question in questions or ()]
        if len(set(ids)) < len(ids):
            raise ValueError("Two questions have the same id.")
        return questions

    @field_validator("input_schema")
    @classmethod
    def _usable(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        if schema is not None and (problem := validation.problem(schema)):
            raise ValueError(f"The schema {problem}.")
        if schema is not None and asks_secret(schema):
            raise ValueError(Secretless)
        return schema


def misfits(fields: Mapping[str, Any]) -> Iterator[Detail]:
    """What the kind lacks, and what it has no use for, in fields that need not be valid otherwise."""
    kind = fields.get("kind")
    if not isinstance(kind, str) or kind not in get_args(AskedKind):
        return
    needed = _NEEDED.get(kind)
    if needed and fields.get(needed) is None:
        yield ("body", needed), f"A request of kind {kind} needs it.", "missing"
    for name, only in _OF_KIND.items():
        if kind != only and fields.get(name) is not None:
            yield ("body", name), f"Only a request of kind {only} takes it.", "value_error"
    if fields.get("on_timeout") == "default_answer" and not KINDS[kind].takes_data:
        yield ("body", "on_timeout"), "Only questions and inputs have a default answer.", "value_error"


class CancelBody(Body):
    reason: Note | None = None


class ResultBody(Body):
    """What became of it: `text` in the program's own words."""

    outcome: Literal["executed", "skipped", "failed"]
    text: Annotated[str, Field(max_length=4000)] | None = None


class AskedObject(ApprovalObject):
    """The one answer that shows the secret of the request's own webhooks."""

    webhook_secret: str | None
