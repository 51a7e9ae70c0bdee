"""Screenshots that callers send: raw base64 of PNG, JPEG or WebP. They are untrusted: a small file may unfold to gigabytes.

They are neither logged nor kept here.
"""

import base64
import binascii
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from inference.errors import InvalidScreenshot
from web.errors import PayloadTooLarge

LEAST, MOST = 101, 10_485_760  # characters of base64
MOST_PIXELS = 2 * 3840 * 2160  # twice the largest screen
FORMATS = ("PNG", "JPEG", "WEBP")
Loc = tuple[str | int, ...]


@dataclass(frozen=True)
class Screenshot:
    """A picture as PNG. `width`, `height`: its pixels, which need not be those of the screen."""

    png: bytes
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.png).hexdigest()


def read_screenshots(sent: Iterable[tuple[Loc, str]]) -> list[Screenshot]:
    """Each (loc in the body, base64). Raises PayloadTooLarge, or InvalidScreenshot with all violations. Heavy: decodes each."""
    pictures, wrong = [], []
    for loc, text in sent:
        if len(text) > MOST:
            raise PayloadTooLarge(max_bytes=MOST)
        try:
            pictures.append(_read(text))
        except ValueError as error:
            wrong.append((loc, str(error)))
    if wrong:
        raise InvalidScreenshot(*wrong)
    return pictures


def _read(text: str) -> Screenshot:
    """Raises ValueError with a sentence for the caller."""
    if len(text) < LEAST:
        raise ValueError(f"Must have at least {LEAST} characters of base64.")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("Must be raw base64: no data URL, no line breaks, padding as it belongs.") from None
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _whole(image, data)
    except _TooLarge:
        raise ValueError(f"Must have at most {MOST_PIXELS:,} pixels.") from None
    except Exception:  # noqa: BLE001  Pillow raises whatever its decoders stumble over
        raise ValueError("Must be a whole PNG, JPEG or WebP picture.") from None


class _TooLarge(Exception):
    pass


def _whole(image: Image.Image, data: bytes) -> Screenshot:
    """Decodes all of it: half a picture is none. A PNG of one frame stays as it is, byte for byte."""
    if image.width * image.height > MOST_PIXELS:
        raise _TooLarge
    plain_png = image.format == "PNG" and getattr(image, "n_frames", 1) == 1
    image.load()
    if plain_png:
        return Screenshot(data, image.width, image.height)
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG", compress_level=1)
    return Screenshot(file.getvalue(), image.width, image.height)
