"""What came of an action, in the words that the model is sent."""

import json
from typing import Any

from inference.wires.base import Json
from machines.drivers.base import ActResult

LONGEST = 6000  # characters of one result
_SHELL = ("cleared", "line", "waits", "busy")
UNKNOWN = (
    "The outcome is unknown: the connection was lost while this was done. It may have happened or not. Look at the screen "
    "before you decide whether to do it again."
)


def of_act(now: Json, last: ActResult | None) -> tuple[bool, str]:
    """Whether it was done, and what is known of it. `now` says what people said of it."""
    if now.get("refused") is not None:
        reason = f" The reason: {now['refused']}" if now["refused"] else ""
        return False, f"Not executed: a person refused this.{reason}"
    words = [f"A person says: {now['note']}"] if now.get("note") else []
    if now.get("edited") is not None:
        words.append(f"A person changed this action; what was done is: {json.dumps(now['edited'], ensure_ascii=False)}")
    if last is None:
        return True, _joined([*words, "Done."])
    if not last.success:
        return False, _joined([*words, f"Failed: {last.error or 'no reason is known.'}", _details(last.data)])
    return True, _joined([*words, "Done.", _details(last.data)])


def _joined(parts: list[str]) -> str:
    text = "\n".join(filter(None, parts))
    return text if len(text) <= LONGEST else text[:LONGEST] + "\n[...]"


def _details(data: dict[str, Any]) -> str:
    """What the machine said besides: untrusted, like all of it."""
    if "finished" in data:
        code = data.get("exit_code")
        end = "It still runs." if not data["finished"] else f"Exit code: {code}." if code is not None else ""
        facts = [f"{key}: {data[key]}" for key in _SHELL if data.get(key)]
        return "\n".join(filter(None, [end, *facts, str(data.get("output") or "")]))
    rest = {key: value for key, value in data.items() if value not in (None, "", [], {})}
    return json.dumps(rest, ensure_ascii=False, default=str) if rest else ""
