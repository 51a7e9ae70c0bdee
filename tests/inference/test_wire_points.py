"""Points of a model come to the screen within one pixel, whatever the sizes; outside is told, never moved silently."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.specs import Spec
from inference.wires import anthropic, responses
from inference.wires.anthropic import AnthropicWire
from inference.wires.base import Request, View, Wanted
from inference.wires.responses import ResponsesWire
from tests import needs_anthropic, needs_openai  # noqa: F401 - skips this file without the SDKs

SIDES = st.integers(1, 5000)
PART = st.floats(0, 1, allow_nan=False)


def clicked(wire: str, view: View, x: Any, y: Any) -> Wanted:
    asked = Request("", [], view, actions=frozenset({"click"}))
    if wire == "anthropic":
        use = {"id": "t", "name": "left_click", "input": {"coordinate": [x, y]}, "toolset_name": "computer"}
        [wanted] = anthropic._wanted(use, asked, older=False)
    else:
        action = {"type": "click", "button": "left", "x": x, "y": y}
        [wanted] = responses._wanted({"type": "computer_call", "call_id": "c", "actions": [action]}, asked)
    return wanted


@pytest.mark.parametrize("make", [AnthropicWire, ResponsesWire])
@given(width=SIDES, height=SIDES, max_side=st.integers(100, 3000), across=PART, down=PART)
def test_a_point_of_the_picture_is_within_one_pixel_of_what_it_shows(
    make: Any, width: int, height: int, max_side: int, across: float, down: float
) -> None:
    wire = make(Spec("eye", "anthropic", "m", key="k", options={"max_side": max_side}))
    view = wire.view(width, height)
    x, y = (
        min(view.sent_width - 1, int(across * view.sent_width)),
        min(view.sent_height - 1, int(down * view.sent_height)),
    )
    wanted = clicked("anthropic" if make is AnthropicWire else "openai", view, x, y)
    assert wanted.kind == "act"
    assert 0 <= wanted.params["x"] < width
    assert 0 <= wanted.params["y"] < height
    assert abs(wanted.params["x"] - x * width / view.sent_width) <= 1
    assert abs(wanted.params["y"] - y * height / view.sent_height) <= 1


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
@given(width=SIDES, height=SIDES, beyond=st.integers(2, 10**12), side=st.sampled_from("lrtb"))
def test_a_point_outside_is_told_to_the_model(wire: str, width: int, height: int, beyond: int, side: str) -> None:
    view = View(width, height, width, height)
    x, y = {"l": (-beyond, 0), "r": (width + beyond, 0), "t": (0, -beyond), "b": (0, height + beyond)}[side]
    wanted = clicked(wire, view, x, y)
    assert wanted.kind == "bad"
    assert "outside" in wanted.problem


@pytest.mark.parametrize("wire", ["anthropic", "openai"])
@given(
    x=st.none()
    | st.booleans()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
    | st.integers(),
    y=st.floats() | st.integers(),
)
def test_anything_else_is_told_too_and_nothing_falls_over(wire: str, x: Any, y: Any) -> None:
    wanted = clicked(wire, View(1280, 800, 1280, 800), x, y)
    if wanted.kind == "act":
        assert 0 <= wanted.params["x"] < 1280
        assert 0 <= wanted.params["y"] < 800
    else:
        assert wanted.problem
