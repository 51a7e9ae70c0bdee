"""Screenshots as callers send them, and a model that answers as the test tells it."""

import base64
import io
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from inference.calls import calling
from inference.ground import ground_call
from inference.models import Profile
from inference.predict import predictions
from inference.sessions import session_call
from tests.inference.wire import FakeWire

FONT = "machines/drivers/terminal/fonts/DejaVuSansMono.ttf"


def png(width: int = 1280, height: int = 720, colour: str = "white") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def shot(width: int = 1280, height: int = 720, colour: str = "white", form: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, form)
    return base64.b64encode(file.getvalue()).decode()


def written(*texts: tuple[int, int, str], size: tuple[int, int] = (640, 360)) -> str:
    """A picture with these texts at their places."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for x, y, text in texts:
        draw.text((x, y), text, font=ImageFont.truetype(FONT, 20), fill="black")
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def profile(name: str = "seer", **more: Any) -> Profile:
    values = {
        "name": name, "wire": "compatible", "model": "a-model", "base_url": "http://127.0.0.1:9/v1", "key": None, "options": {},
        "prices": {}, "limits": {},
    }  # fmt: skip
    Profile.objects.update(is_default=False)
    return Profile.objects.create(**values | {"is_default": True, "created_by": {}} | more)


def answering(monkeypatch: pytest.MonkeyPatch, *moves: Any) -> FakeWire:
    """A default profile whose model answers so."""
    wire = FakeWire(*moves)
    for module in (calling, predictions, ground_call, session_call):
        monkeypatch.setattr(module, "wire_for", wire)
    profile()
    return wire
