"""Request bodies and answers of secrets. A value goes in and never comes out."""

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field
from typing_extensions import TypedDict

from accounts.actor import ActorRef
from accounts.models import TeamSecret
from accounts.secrets.hosts import WRONG, as_compared
from accounts.secrets.totp import SHORTEST, read_seed
from web.bodies import Body, EachOnce, exactly_one_of
from web.times import Timestamp, rfc3339

LONGEST_NAME = 64
# What a handle, a sentence and an address can hold without quoting: letters and digits, with blanks and signs between them.
_NAME = re.compile(r"[^\W_](?:[\w .@+-]*[^\W_])?\Z")
WRONG_NAME = "Must be letters and digits, with blanks and . _ - + @ between them."
WRONG_SEED = f"Must be base32, as the site shows it for typing in, of at least {SHORTEST} bytes."


def _named(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    if not _NAME.match(name) or "  " in name:
        raise ValueError(WRONG_NAME)
    return name


def _host(entry: str) -> str:
    if (host := as_compared(entry)) is None:
        raise ValueError(WRONG)
    return host


def _seed(text: str) -> str:
    if (seed := read_seed(text)) is None:
        raise ValueError(WRONG_SEED)
    return seed


Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_named)]
Value = Annotated[str, Field(min_length=1, max_length=4096)]
Seed = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_seed)]
Host = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_host)]
Hosts = Annotated[list[Host], Field(min_length=1, max_length=20), EachOnce]
MachineId = Annotated[str, Field(min_length=1, max_length=128)]
Machines = Annotated[list[MachineId], Field(max_length=20), EachOnce]


class SecretCreate(Body):
    """`machines`: ids of terminals that may get it, too."""

    model_config = ConfigDict(json_schema_extra=exactly_one_of("value", "totp_seed"))

    name: Name
    value: Value | None = None
    totp_seed: Seed | None = None
    hosts: Hosts
    machines: Machines = Field(default_factory=list)


class SecretChange(Body):
    """What is not given stays as it is."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    value: Value | None = None
    totp_seed: Seed | None = None
    hosts: Hosts | None = None
    machines: Machines | None = None


class SecretObject(TypedDict):
    id: str
    object: str
    name: str
    kind: str
    hosts: list[str]
    machines: list[str]
    created_by: ActorRef
    created_at: Timestamp
    replaced_at: Timestamp | None
    last_used_at: Timestamp | None
    last_used_run_id: str | None


def secret_object(row: TeamSecret) -> SecretObject:
    return {
        "id": row.id,
        "object": "secret",
        "name": row.name,
        "kind": row.kind,
        "hosts": row.hosts,
        "machines": row.machines,
        "created_by": row.created_by,
        "created_at": rfc3339(row.created_at),
        "replaced_at": rfc3339(row.replaced_at),
        "last_used_at": rfc3339(row.last_used_at),
        "last_used_run_id": row.last_used_run_id,
    }
