"""A cast whose team is the installation's first one, and profiles."""

from collections.abc import Callable
from typing import Any

import pytest

from inference.calls import calling
from inference.models import Profile
from inference.profiles import trials
from inference.profiles.services import create_profile
from tests.cast import Cast
from tests.inference.wire import FakeWire

VALUES: dict[str, Any] = {
    "name": "claude", "wire": "anthropic", "model": "claude-opus-5-5", "base_url": "", "key": "sk-very-secret",
    "options": {}, "prices": {}, "limits": {},
}  # fmt: skip


@pytest.fixture
def first(cast: Cast, strangers: Cast) -> Cast:
    """Its team is the installation's own; another one is there."""
    return cast


Make = Callable[..., Profile]


@pytest.fixture
def make(first: Cast) -> Make:
    return lambda **more: create_profile(first.actor("olga"), VALUES | more)


@pytest.fixture
def over(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeWire]:
    """over(moves…): every profile answers so."""

    def use(*moves: Any) -> FakeWire:
        wire = FakeWire(*moves)
        for module in (calling, trials):
            monkeypatch.setattr(module, "wire_for", wire)
        return wire

    return use
