"""Pictures that a program sends along with what it asks: decoded, and written anew without anything else that was in the file.

What is served is never what was sent: no second format in one file, no scripts, no place where a photo was taken.
"""

import hashlib
import io
import struct
import threading
from collections.abc import Sequence
from typing import Any

from django.core.files.storage import default_storage
from PIL import Image, ImageOps, UnidentifiedImageError
from typing_extensions import TypedDict

from database import stored_files
from web.errors import Invalid

MAX_PICTURES = 4
MAX_BYTES = 4 * 1024 * 1024  # of one
MAX_SIDE = 8192  # pixels
MAX_PIXELS = 4096 * 4096  # 48 MiB when decoded
MAX_SCANS = 32  # of a JPEG; cameras and programs write 10, and each costs as much as decoding the whole
CONTENT_TYPES = {"png": "image/png", "jpg": "image/jpeg"}
_FORMATS = {"PNG": "png", "JPEG": "jpg", "MPO": "jpg"}  # MPO: a JPEG with more pictures behind the first
_START_OF_SCAN = b"\xff\xda"
_UNREADABLE = (
    Image.DecompressionBombError, Image.DecompressionBombWarning, UnidentifiedImageError,
    EOFError, IndexError, KeyError, OSError, OverflowError, SyntaxError, TypeError, ValueError, struct.error,
)  # fmt: skip
_turns = threading.BoundedSemaphore(2)  # at once, so that many askers need no more memory than two


class StoredPicture(TypedDict):
    """As Approval.evidence keeps it. `index`: from 1; `format`: png or jpg; `width`, `height`: pixels."""

    index: int
    sha256: str
    format: str
    width: int
    height: int


class PictureError(ValueError):
    """Why a picture is refused, in a sentence."""


def store(sent: Sequence[bytes], loc: Sequence[str | int] = ("body", "evidence", "pictures")) -> list[StoredPicture]:
    """Keep the pictures; the same bytes are the same file. Raises Invalid, with every one that is refused; StorageFull."""
    if len(sent) > MAX_PICTURES:
        raise Invalid((tuple(loc), f"At most {MAX_PICTURES} pictures.", "value_error"))
    kept, refused = [], []
    for position, data in enumerate(sent):
        try:
            kept.append(clean(data))
        except PictureError as error:
            refused.append(((*loc, position), str(error), "value_error"))
    if refused:
        raise Invalid(*refused)
    return [_stored(number, *each) for number, each in enumerate(kept, 1)]


def _stored(index: int, data: bytes, form: str, size: tuple[int, int]) -> StoredPicture:
    sha = hashlib.sha256(data).hexdigest()
    stored_files.write(path_of(sha, form), data)
    return {"index": index, "sha256": sha, "format": form, "width": size[0], "height": size[1]}


def path_of(sha: str, form: str) -> str:
    return f"evidence/{sha[:2]}/{sha[2:]}.{form}"


def read(evidence: dict[str, Any], index: int) -> tuple[bytes, str] | None:
    """The picture of that index and its content type; None where there is none, or its file is gone."""
    stored = next((each for each in evidence.get("pictures", ()) if each["index"] == index), None)
    if stored is None:
        return None
    try:
        with default_storage.open(path_of(stored["sha256"], stored["format"])) as file:
            return file.read(), CONTENT_TYPES[stored["format"]]
    except FileNotFoundError:
        return None


def clean(data: bytes) -> tuple[bytes, str, tuple[int, int]]:
    """The picture written anew, its format, and (width, height) in pixels. Raises PictureError."""
    if len(data) > MAX_BYTES:
        raise PictureError(f"A picture has at most {MAX_BYTES // 1024 // 1024} MiB.")
    if data.count(_START_OF_SCAN) > MAX_SCANS and data.startswith(b"\xff\xd8"):
        raise PictureError(f"A JPEG has at most {MAX_SCANS} scans.")
    with _turns:
        try:
            return _written_anew(data)
        except PictureError:
            raise
        except _UNREADABLE as error:
            raise PictureError("This is no whole PNG or JPEG picture.") from error


def _written_anew(data: bytes) -> tuple[bytes, str, tuple[int, int]]:
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        width, height = image.size
        if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            raise PictureError(f"A picture has at most {MAX_SIDE} pixels a side and {MAX_PIXELS:,} in all.")
        form = _FORMATS[str(image.format)]
        image.load()
        shown = _opaque(ImageOps.exif_transpose(image))
    written = io.BytesIO()
    if form == "png":
        shown.save(written, "PNG", compress_level=3)
    else:
        shown.save(written, "JPEG", quality=90)
    return written.getvalue(), form, shown.size


def _opaque(image: Image.Image) -> Image.Image:
    """In plain colours or greys, on white: nobody sees another picture on a dark page than on a light one."""
    if image.mode.startswith("I"):  # 16 bits of grey
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        paper = Image.new("RGB", layered.size, "white")
        paper.paste(layered, mask=layered.getchannel("A"))
        return paper
    if image.mode in ("1", "L"):
        return image.convert("L")
    return image.convert("RGB")
