"""Connections that break inside a block: who comes again with Last-Event-ID loses nothing and sees nothing twice.

The real client library is tried in tests/browser/test_streams_in_chromium.py.
"""

from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async

from accounts.models import Team
from tests.live import logs
from tests.live.reading import Streams

Reader = Callable[[bytes], tuple[list[int], int]]


def library(raw: bytes) -> tuple[list[int], int]:
    """What @microsoft/fetch-event-source 2.0.1 makes of the bytes: the ids of its messages, and its next Last-Event-ID.

    The header follows each `id:` line as soon as that line is read; a message is given out at the empty line.
    """
    seen: list[int] = []
    header = current = 0
    for line in raw.split(b"\n")[:-1]:
        name, _, value = line.partition(b": ")
        if name == b"id":
            header = current = int(value)
        elif not line:
            seen.append(current)
    return seen, header


def browser(raw: bytes) -> tuple[list[int], int]:
    """What an EventSource makes of them (WHATWG HTML, "dispatch the event"): the id counts from the empty line on."""
    whole = raw[: raw.rfind(b"\n\n") + 2] if b"\n\n" in raw else b""
    return library(whole)


@pytest.mark.parametrize(
    ("path", "read"), [("events/stream", library), ("events/stream", browser), ("events", browser)]
)
async def test_T_174_a_cut_at_any_byte_loses_and_doubles_nothing(
    streams: Streams, team: Team, path: str, read: Reader
) -> None:
    run = await sync_to_async(logs.new_run)(team, *logs.WHOLE)
    blocks = await streams.all(f"{run.id}/{path}")
    raw = b"".join(block.raw + b"\n\n" for block in blocks)
    replays = {after: [block.id for block in blocks if block.id > after] for after in (0, *(b.id for b in blocks))}
    for at in range(len(raw) + 1):
        seen, header = read(raw[:at])
        if read is library and raw[:at].endswith(b"\n") and raw[at : at + 1] == b"\n":
            continue  # between the two line ends that close a block: no order of lines helps that library there
        assert seen + replays[header] == [block.id for block in blocks], raw[:at][-80:]


async def test_T_174_an_envelope_ends_with_its_id(streams: Streams, team: Team) -> None:
    run = await sync_to_async(logs.new_run)(team, *logs.WHOLE)
    for block in await streams.all(f"{run.id}/events/stream"):
        assert block.raw.split(b"\n")[-1] == b"id: %d" % block.data["seq"]
    for block in await streams.all(f"{run.id}/events"):
        assert block.raw.split(b"\n")[0] == b"id: %d" % block.id
