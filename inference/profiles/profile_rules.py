"""What a profile may hold. Pure: no database, no request."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from inference.profiles.vendors import VENDORS
from inference.specs import NAME
from web.json_values import DEEPEST, Detail, deeper_than, unstorable_at

TAKEN = ("playbook", "scripted")  # agents that are no profiles
PRICES = ("input", "cached", "cache_written", "output")
LIMITS: dict[str, tuple[int, int]] = {"concurrent": (1, 1000), "tokens": (0, 10**9), "depth": (1, 100)}
MOST_EXTRA = 16_384  # bytes of options as JSON
Test = Callable[[Any], str | None]  # what is wrong with a value, in words


def _one_of(*words: str) -> Test:
    return lambda value: None if value in words else f"Must be one of {', '.join(words)}."


def _number(least: float, most: float, *, whole: bool = True) -> Test:
    kinds = (int,) if whole else (int, float)
    words = f"Must be a {'whole ' if whole else ''}number from {least:g} to {most:g}."
    return lambda v: None if isinstance(v, kinds) and not isinstance(v, bool) and least <= v <= most else words


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "Must be true or false."


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) and 0 < len(value) <= 128 else "Must be text of 1 to 128 characters."


def _texts(value: Any) -> str | None:
    right = isinstance(value, list) and len(value) <= 16 and all(_text(each) is None for each in value)
    return None if right else "Must be a list of at most 16 texts."


def _object(value: Any) -> str | None:
    return None if isinstance(value, dict) else "Must be a JSON object."


def _thinking(value: Any) -> str | None:
    words = "Must be adaptive, off, or a whole number of tokens from 1024 to 1000000."
    return None if value in ("adaptive", "off") or _number(1024, 1_000_000)(value) is None else words


# What the wires read; docs/models.md says what each does.
OPTIONS: dict[str, Test] = {
    "coordinates": _one_of("pixels", "thousand", "resized"),
    "factor": _number(1, 256),
    "min_pixels": _number(1, 10**8),
    "max_pixels": _number(1, 10**8),
    "max_side": _number(256, 8192),
    "dialect": _one_of("tools", "uitars", "qwen", "pyautogui", "json_point"),
    "tools": _one_of("native", "json_schema", "text"),
    "picture_in_tool": _flag,
    "max_tokens": _number(64, 1_000_000),
    "stop": _texts,
    "keep_images": _number(1, 100),
    "reasoning_back": _flag,
    "effort": _text,
    "computer": _one_of("toolset", "older", "computer", "preview"),
    "window": _number(1024, 100_000_000),
    "extra_body": _object,
    "thinking": _thinking,
    "cache_ttl": _one_of("5m", "1h"),
    "system_notes": _flag,
    "proxy": _flag,
    "verifier": _text,
}


def server_of(base_url: str) -> tuple[str, str]:
    """Who gets the key: scheme and host with its port; empty for the vendor's own."""
    parts = urlsplit(base_url.lower())
    return parts.scheme, parts.netloc


def violations(values: Mapping[str, Any]) -> list[Detail]:
    """Everything that is wrong with the fields of a profile; `loc` is ("body", field, …)."""
    return [
        (("body", *at), words, "value_error")
        for at, words in (
            *_of_model(values),
            *_of_options(values.get("options") or {}),
            *_of_prices(values.get("prices") or {}),
            *_of_limits(values.get("limits") or {}),
        )
    ]


Wrong = tuple[tuple[str, ...], str]


def _of_model(values: Mapping[str, Any]) -> list[Wrong]:
    wrong: list[Wrong] = []
    name, model, key = values["name"], values["model"], values.get("key")
    if not NAME.fullmatch(name):
        wrong.append((("name",), "Use 1 to 64 lower-case letters, digits and . _ : -, a letter or digit first."))
    elif name in TAKEN:
        wrong.append((("name",), f"“{name}” is an agent that needs no model; choose another name."))
    if values["wire"] not in VENDORS:
        wrong.append((("wire",), f"Must be one of {', '.join(VENDORS)}."))
    if not model.strip() or len(model) > 128 or not model.isprintable():
        wrong.append((("model",), "Must be text of 1 to 128 characters."))
    if problem := address_problem(values["base_url"], required=values["wire"] == "compatible"):
        wrong.append((("base_url",), problem))
    if key and (len(key) > 4096 or not key.isascii() or not key.isprintable()):
        wrong.append((("key",), "A key is at most 4096 letters, digits and signs of ASCII, without line breaks."))
    return wrong


def address_problem(url: str, *, required: bool) -> str | None:
    """Inner hosts and http are allowed on purpose: that is where models of one's own are."""
    if not url:
        return (
            "An OpenAI-compatible server needs its address, for example http://127.0.0.1:11434/v1."
            if required
            else None
        )
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "This is not an address."
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or len(url) > 2048
        or not url.isprintable()
        or " " in url
    ):
        return "Must be an http or https address of at most 2048 characters."
    if parts.username or parts.password:
        return "An address is shown to people: put the key into its own field."
    if parts.query or parts.fragment:
        return "Must be an address without ? and #."
    return None


def _of_options(options: Mapping[str, Any]) -> list[Wrong]:
    wrong: list[Wrong] = []
    for name, value in options.items():
        if name not in OPTIONS:
            wrong.append((("options", name[:64]), f"Unknown option “{name[:64]}”; known are {', '.join(OPTIONS)}."))
        elif problem := OPTIONS[name](value):
            wrong.append((("options", name), f"{name}: {problem}"))
    if deeper_than(options, DEEPEST) or not _storable(options):
        words = f"Options are at most {MOST_EXTRA} bytes of JSON, without NUL characters and without infinite numbers."
        return [(("options",), words)]
    least, most = options.get("min_pixels"), options.get("max_pixels")
    if not wrong and least is not None and most is not None and least > most:
        wrong.append((("options", "min_pixels"), "min_pixels must not be above max_pixels."))
    return wrong


def _storable(options: Mapping[str, Any]) -> bool:
    try:
        return len(json.dumps(options, allow_nan=False)) <= MOST_EXTRA and unstorable_at(options) is None
    except ValueError:
        return False


def _of_prices(prices: Mapping[str, Any]) -> list[Wrong]:
    fits = _number(0, 10_000_000, whole=False)
    return [
        (("prices", name), problem or f"Unknown price “{name[:64]}”; known are {', '.join(PRICES)}.")
        for name, value in prices.items()
        if (problem := fits(value)) or name not in PRICES
    ]


def _of_limits(limits: Mapping[str, Any]) -> list[Wrong]:
    wrong: list[Wrong] = []
    for name, value in limits.items():
        if name not in LIMITS:
            wrong.append((("limits", name), f"Unknown limit “{name[:64]}”; known are {', '.join(LIMITS)}."))
        elif problem := _number(*LIMITS[name])(value):
            wrong.append((("limits", name), problem))
    return wrong
