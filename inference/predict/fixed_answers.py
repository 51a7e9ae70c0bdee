"""What test keys are answered: made of the picture and the words alone, without a model and without a network.

The same call always gives the same answer. A task is done after STEPS steps, so that a client's loop comes to an end.
"""

import hashlib
from collections.abc import Collection
from typing import Any

from inference.points import Size
from inference.predict.predictions import Prediction, as_answered

STEPS = 3


def _number(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8])


def point(picture: str, words: str, screen: Size) -> Size:
    """A pixel of the screen; `picture` is the SHA-256 of the picture."""
    return _number("x", picture, words) % screen[0], _number("y", picture, words) % screen[1]


def prediction(picture: str, words: str, screen: Size, *, steps: int, tools: Collection[str] | None) -> Prediction:
    """`steps`: how many were done before; `tools`: the action types that are allowed, None = all."""
    tokens = {"input_tokens": 1000 + len(words) // 4, "output_tokens": 50}
    if steps >= STEPS:
        done = [as_answered("done", {})]
        return Prediction("done", "This is the test world: a task is done after three steps.", done, **tokens)
    x, y = point(picture, words, screen)
    choices: list[tuple[str, dict[str, Any]]] = [
        ("click", {"x": x, "y": y, "button": "left", "count": 1}),
        ("type_text", {"text": words[:40]}),
        ("scroll", {"x": x, "y": y, "direction": "down", "amount": 3}),
        ("key_press", {"key": "enter"}),
        ("key_combo", {"keys": ["ctrl", "a"]}),
        ("drag", {"from_x": x, "from_y": y, "to_x": screen[0] // 2, "to_y": screen[1] // 2}),
        ("move", {"x": x, "y": y}),
        ("wait", {"ms": 500}),
    ]
    allowed = [choice for choice in choices if tools is None or choice[0] in tools]
    if not allowed:
        return Prediction(
            "fail", "No action is allowed.", [as_answered("fail", {"reason": "No action is allowed."})], **tokens
        )
    name, params = allowed[_number("action", picture, words, str(steps)) % len(allowed)]
    return Prediction("continue", "This is the test world: no model was asked.", [as_answered(name, params)], **tokens)
