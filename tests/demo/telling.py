"""What happens in a run, in lines for whoever started it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tests.demo.product import Product

_LONGEST = 150


def events(product: Product, run_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The log of the run, live, until its end."""
    last, ended = "0", False
    while not ended:
        headers = product.headers() | {"Last-Event-ID": last}
        timeout = httpx.Timeout(10, read=60)  # a comment comes every 15 s
        with httpx.stream("GET", f"{product.base}/v1/runs/{run_id}/events", headers=headers, timeout=timeout) as answer:
            kind = ""
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "id":
                    last = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    ended = kind == "done"
                    yield kind, json.loads(value)


def line_of(kind: str, data: dict[str, Any]) -> str | None:
    """None where there is nothing to say."""
    words = _WORDS[kind](data) if kind in _WORDS else None
    return f"{words[0]:<9} {_short(words[1])}" if words and words[1] else None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


_WORDS: dict[str, Callable[[dict[str, Any]], tuple[str, str]]] = {
    "reasoning": lambda data: ("verifier" if data.get("by") == "verifier" else "thinks", data["text"]),
    "text": lambda data: ("says", data["text"]),
    "tool_call": lambda data: ("does", f"{data['tool']} {json.dumps(data['params'], ensure_ascii=False)}"),
    "tool_result": lambda data: ("failed", "" if data["success"] else str(data["error"])),
    "awaiting_human": lambda data: ("asks", data["message"] or data["reason"]),
    "resumed": lambda data: ("person", data["verdict"]),
    "error": lambda data: ("problem", data["message"]),
}
