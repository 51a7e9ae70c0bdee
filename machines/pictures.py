"""Pictures of screens: content-addressed PNG files on Django's default storage, `pictures/ab/cd….png`.

A file is named by the SHA-256 of its bytes, so it is written once, never changed, and shared by all
who saw the same screen.
"""

import hashlib
import io
import threading
import time
from collections import OrderedDict

from django.core.files.storage import default_storage
from PIL import Image, ImageChops

from database import stored_files

REMEMBERED = 4096  # hashes that this process need not look up again
RENEW_SECONDS = 3600.0  # for so long: then the file's time is renewed, and retention sees that it is in use

_recent: OrderedDict[str, float] = OrderedDict()  # when each was last stored, as time.monotonic() counts
_recent_lock = threading.Lock()


def store(png: bytes) -> str:
    """Keep the picture and return its SHA-256 (hex). Raises StorageFull; OSError for other failures."""
    sha = hashlib.sha256(png).hexdigest()
    if not _is_recent(sha):
        stored_files.write(path_of(sha), png)
        _remember(sha)
    return sha


def read(sha: str) -> bytes:
    """Raises FileNotFoundError."""
    with default_storage.open(path_of(sha)) as file:
        data: bytes = file.read()
    return data


def path_of(sha: str) -> str:
    return f"pictures/{sha[:2]}/{sha[2:]}.png"


def forget() -> None:
    """Look every picture up again: something else removed or moved files."""
    with _recent_lock:
        _recent.clear()


def _is_recent(sha: str) -> bool:
    with _recent_lock:
        if time.monotonic() - _recent.get(sha, float("-inf")) < RENEW_SECONDS:
            _recent.move_to_end(sha)
            return True
    return False


def _remember(sha: str) -> None:
    with _recent_lock:
        _recent[sha] = time.monotonic()
        while len(_recent) > REMEMBERED:
            _recent.popitem(last=False)


def changed_share(before: bytes, after: bytes) -> float:
    """The share (0-1) of 64x36 grey cells that differ by more than 16 of 255 (docs/api/approvals.md section 10)."""
    one, two = (
        Image.open(io.BytesIO(png)).convert("L").resize((64, 36), Image.Resampling.BOX) for png in (before, after)
    )
    differences = ImageChops.difference(one, two).tobytes()
    return sum(value > 16 for value in differences) / len(differences)
