"""The names by which clients of the first vendor of such an API know what ours means too (docs/api/aliases.md).

The setting VENDOR_ALIASES switches them off; what the aliases stand for works all the same.
"""

from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase

KEYS = {"sk-coasty-live-": "cs_live_", "sk-coasty-test-": "cs_test_"}
HEADERS = {
    "X-Request-Id": "X-Coasty-Request-Id",
    "X-Key-Kind": "X-Coasty-Key-Kind",
    "X-Test-Mode": "X-Coasty-Test-Mode",
    "Idempotency-Replayed": "X-Coasty-Idempotent-Replay",
}
SIGNATURE = "Coasty-Signature"  # has the form and the value of Countersign-Signature


def key_as_issued(key: str) -> str:
    """A key as it was made, whichever way it is spelled: sk-coasty-live-abc is cs_live_abc."""
    if settings.VENDOR_ALIASES:
        for alias, prefix in KEYS.items():
            if key.startswith(alias):
                return prefix + key.removeprefix(alias)
    return key


def add_headers(response: HttpResponseBase) -> None:
    """Beside each header of ours that has an alias the same value under it."""
    if settings.VENDOR_ALIASES:
        for name, alias in HEADERS.items():
            if name in response:
                response[alias] = response[name]


def signature_headers(signature: str) -> dict[str, str]:
    """The header of a webhook beside Countersign-Signature."""
    return {SIGNATURE: signature} if settings.VENDOR_ALIASES else {}


def rows_again(name: str, rows: list[Any]) -> dict[str, Any]:
    """The rows of a list once more, under the name that they have there."""
    return {name: rows} if settings.VENDOR_ALIASES else {}
