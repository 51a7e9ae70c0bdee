"""The size in which a model is sent pictures, and the way back from its points to the screen.

Never guessed from the name of a model: a profile's options say it, and the test of a profile proves it.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from inference.wires.base import View
from machines import pictures

MAX_SIDE = 1440  # pixels of the longer side, where a profile says nothing else
FACTOR = 28
MIN_PIXELS = 56 * 56
MAX_PIXELS = 16_384 * 28 * 28
THOUSAND = 1000

Point = tuple[int, int]


def view_of(width: int, height: int, options: Mapping[str, Any]) -> View:
    """How pictures of `width` x `height` pixels are sent. Options: max_side; with coordinates `resized` both sides are
    multiples of `factor` and their product is between min_pixels and max_pixels, so that the server has no reason to
    resize them again (it would not tell, and every point would be off)."""
    longest = max(width, height, 1)
    scale = min(1.0, _positive(options, "max_side", MAX_SIDE) / longest)
    sent = max(1, round(width * scale)), max(1, round(height * scale))
    if options.get("coordinates") == "resized":
        sent = _resized(*sent, options)
    return View(width, height, *sent)


def _resized(width: int, height: int, options: Mapping[str, Any]) -> Point:
    """The rule of the models that were trained on it (Qwen2-VL and its descendants)."""
    factor = _positive(options, "factor", FACTOR)
    least, most = _positive(options, "min_pixels", MIN_PIXELS), _positive(options, "max_pixels", MAX_PIXELS)
    sides = [max(factor, round(side / factor) * factor) for side in (width, height)]
    area = sides[0] * sides[1]
    if area > most:
        shrink = math.sqrt(width * height / most)
        sides = [max(factor, math.floor(side / shrink / factor) * factor) for side in (width, height)]
    elif area < least:
        grow = math.sqrt(least / (width * height))
        sides = [math.ceil(side * grow / factor) * factor for side in (width, height)]
    return sides[0], sides[1]


def _positive(options: Mapping[str, Any], name: str, default: int) -> int:
    value = options.get(name)
    return value if isinstance(value, int) and value > 0 else default


def to_screen(view: View, x: float, y: float, grid: int | None = None) -> Point | None:
    """The pixel of the screen that a model means. `x`, `y`: pixels of the picture that it was sent, or parts of a side of
    it that is `grid` (1000) long. Outside by at most one pixel of the screen is the edge; outside by more is None: a
    model that points there sees something else than we do."""
    across = _coordinate(x, view.width, grid or view.sent_width)
    down = _coordinate(y, view.height, grid or view.sent_height)
    return None if across is None or down is None else (across, down)


def _coordinate(value: float, length: int, span: int) -> int | None:
    try:
        exact = value * length / span
    except OverflowError:
        return None
    if not -1 <= exact <= length:  # false for NaN too
        return None
    return min(max(round(exact), 0), length - 1)


def to_picture(view: View, x: int, y: int, grid: int | None = None) -> Point:
    """The other way: how a pixel of the screen is named in words for the model."""
    spans = grid or view.sent_width, grid or view.sent_height
    return (
        min(max(round(x * spans[0] / view.width), 0), spans[0] - 1),
        min(max(round(y * spans[1] / view.height), 0), spans[1] - 1),
    )


def region_on_screen(view: View, region: Sequence[float], grid: int | None = None) -> list[int] | None:
    """`region` [x1, y1, x2, y2] in pixels of the screen, corners in order; None when it is empty or outside."""
    if len(region) != 4:
        return None
    one, two = (to_screen(view, x, y, grid) for x, y in (region[:2], region[2:]))
    if one is None or two is None or one[0] == two[0] or one[1] == two[1]:
        return None
    return [min(one[0], two[0]), min(one[1], two[1]), max(one[0], two[0]), max(one[1], two[1])]


@dataclass(frozen=True)
class Zoom:
    """A part of a picture as PNG, made larger; `region`: x1, y1, x2, y2 of the part, in pixels of the picture."""

    png: bytes
    width: int
    height: int
    region: tuple[int, int, int, int]


def zoomed(png: bytes, region: Any, view: View) -> Zoom | None:
    """A part of the screen ([x1, y1, x2, y2] in its pixels, in any order) as large as what is sent of the whole; None where
    there is none. Up to 0.1 s of CPU."""
    box = _box(region, view.width, view.height)
    if box is None:
        return None
    with Image.open(io.BytesIO(png)) as image:
        part = image.convert("RGB").crop(box)
    scale = min(view.sent_width / part.width, view.sent_height / part.height)
    size = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    file = io.BytesIO()
    part.resize(size, Image.Resampling.LANCZOS).save(file, "PNG")
    return Zoom(file.getvalue(), *size, box)


def _box(region: Any, width: int, height: int) -> tuple[int, int, int, int] | None:
    if not isinstance(region, list | tuple) or len(region) != 4:
        return None
    if not all(isinstance(side, int | float) and not isinstance(side, bool) for side in region):
        return None
    across, down = sorted((region[0], region[2])), sorted((region[1], region[3]))
    box = max(0, round(across[0])), max(0, round(down[0])), min(width, round(across[1])), min(height, round(down[1]))
    return box if box[2] > box[0] and box[3] > box[1] else None


def picture_bytes(png: bytes, view: View) -> bytes:
    """The picture in the size that is sent; the same bytes when it has that size already. Up to 0.1 s of CPU."""
    with Image.open(io.BytesIO(png)) as image:
        if image.size == (view.sent_width, view.sent_height):
            return png
        plain = image if image.mode in {"L", "RGB", "RGBA"} else image.convert("RGB")
        smaller = plain.resize((view.sent_width, view.sent_height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    smaller.save(file, "PNG")
    return file.getvalue()


def sent_picture(sha: str, png: bytes, view: View) -> str:
    """The SHA-256 under which the picture is stored as it is sent. A scaled one has its own: scaled again after an upgrade it
    could have other bytes, and vendors bind caches and thoughts to bytes. Writes files; raises StorageFull."""
    scaled = picture_bytes(png, view)
    return sha if scaled is png else pictures.store(scaled)
