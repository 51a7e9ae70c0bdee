"""Room on the disks of this installation. Below a reserve nothing new is begun, so that what is under way can be written down."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

MB = 1_000_000


@dataclass(frozen=True)
class Room:
    """Of the place with the least; `free` and `reserve` in bytes."""

    place: Path
    free: int
    reserve: int

    @property
    def low(self) -> bool:
        return self.free < self.reserve

    def __str__(self) -> str:
        """For anybody, so it does not name the place."""
        return (
            f"The disk is nearly full: {self.free // MB} MB are free, and {self.reserve // MB} MB are kept in reserve"
        )


def free(place: Path) -> int:
    """Bytes that we may still write there. Everybody asks here; a place that is not there has none of its own."""
    try:
        stat = os.statvfs(place)
    except FileNotFoundError:
        return free(place.parent)
    return stat.f_bavail * stat.f_frsize


def room() -> Room:
    """A few microseconds."""
    storages: Any = settings.STORAGES
    options = storages["default"].get("OPTIONS", {})
    places = (settings.DATA_DIR, Path(options.get("location", settings.DATA_DIR)))
    place = min(places, key=free)
    return Room(place, free(place), settings.DISK_RESERVE_MB * MB)
