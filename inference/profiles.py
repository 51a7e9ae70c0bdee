"""Model profiles: which model answers, over which wire, at which address, with which key."""

from dataclasses import dataclass, field
from typing import Any, Literal

WireName = Literal["anthropic", "openai", "compatible", "gemini"]


@dataclass(frozen=True)
class Spec:
    """A profile as the wires need it, apart from the database. `version` changes with every edit.

    `options`, all optional: coordinates (pixels, thousand, resized), factor, min_pixels, max_pixels, max_side, dialect
    (tools, uitars, qwen, pyautogui, json_point), tools (native, json_schema, text), picture_in_tool, max_tokens, stop,
    keep_images, reasoning_back, effort, computer (anthropic: toolset or older; openai: computer or preview), window (tokens),
    extra_body. `prices`: cents per million tokens: input, cached, cache_written, output. `limits`: concurrent (calls at once,
    8), tokens (of one run, 0 = none), depth (calls in a row without a step, 12).
    """

    name: str
    wire: WireName
    model: str
    base_url: str = ""  # "" = the vendor's
    key: str | None = field(default=None, repr=False)
    version: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    limits: dict[str, int] = field(default_factory=dict)
