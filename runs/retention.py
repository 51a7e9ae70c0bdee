"""What is forgotten after a while: pictures and conversations that nothing names any more, sessions, failed tasks.

Files are named by what is in them and shared by all who saw the same, so a file goes only when no row that is kept names it, and
when nobody stored it again since: who stores a picture that is there already renews its time (database/stored_files.py).
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection
from django.db.models import IntegerField, Q
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from django.utils import timezone
from django_q.models import Task

from approvals.models import Approval
from database import stored_files
from machines.models import Machine
from runs.models import Look, Screenshot

# Whoever makes a backup holds it in common: no file goes that it may still have to read.
KEEP_FILES = 4_270_103
FAILED_TASK_DAYS = 30
BATCH = 500
PLACES = ("pictures", "transcripts", "evidence")
FOLDERS = tuple(f"{place}/{number:02x}" for place in PLACES for number in range(256))
_NAMED = "SELECT DISTINCT m[1] FROM runs_run, regexp_matches(memory::text, '[0-9a-f]{64}', 'g') AS m WHERE "
_SENT = """
SELECT DISTINCT picture ->> 'sha256'
FROM approvals_approval AS request, jsonb_array_elements(request.evidence -> 'pictures') AS picture
WHERE request.external_request_id IS NOT NULL AND picture ->> 'sha256' = ANY(%s)
"""
_next_folder = itertools.cycle(FOLDERS)  # of this process: one clock ticks


def files() -> int:
    """Remove what is old and named by nothing, of the next folder; how many. All are visited in about thirteen hours."""
    if not settings.PICTURE_DAYS or not _may_remove():
        return 0
    try:
        return clear(next(_next_folder))
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [KEEP_FILES])


def _may_remove() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [KEEP_FILES])
        return bool(cursor.fetchone()[0])


def clear(folder: str) -> int:
    """Remove what is old and named by nothing from one folder of the storage; how many."""
    before = timezone.now() - timedelta(days=settings.PICTURE_DAYS)
    removed = 0
    for some in _old_files(folder, before.timestamp()):
        named = needed(some, before)
        removed += sum(stored_files.remove(path, before.timestamp()) for sha, path in some.items() if sha not in named)
    return removed


def _old_files(folder: str, before: float) -> Iterator[dict[str, Path]]:
    """By the SHA-256 that names them, some at a time."""
    storage = storages["default"]
    if not isinstance(storage, FileSystemStorage):
        return  # a bucket has rules of its own
    root = Path(storage.path(folder))
    some: dict[str, Path] = {}
    for path in root.iterdir() if root.is_dir() else ():
        if re.fullmatch(r"[0-9a-f]{62}\.(png|jpg|json)", path.name) and path.stat().st_mtime < before:
            some[root.name + path.stem] = path
            if len(some) == BATCH:
                yield some
                some = {}
    if some:
        yield some


def needed(shas: Iterable[str], before: datetime) -> set[str]:
    """Those that a row names which is kept: of a run that has not ended before then, of a request, of a machine's page."""
    names = list(shas)
    kept = Q(run__finished_at__isnull=True) | Q(run__finished_at__gte=before)
    kept_names: set[str] = set()
    for model in (Screenshot, Look):
        kept_names |= set(model.objects.filter(kept, sha256__in=names).values_list("sha256", flat=True))
    kept_names |= set(Machine.objects.filter(picture__in=names).values_list("picture", flat=True))
    kept_names |= _of_requests(set(names) - kept_names) | _of_programs(names)
    return kept_names | (_of_memories(before) & set(names))


def _of_requests(shas: set[str]) -> set[str]:
    """What people were shown when they decided belongs to their decision."""
    shots = Screenshot.objects.filter(sha256__in=shas).values_list("run_id", "index", "sha256")
    by_place = {(run_id, index): sha for run_id, index, sha in shots}
    shown = Approval.objects.filter(run_id__in={run_id for run_id, _ in by_place})
    indexes = shown.annotate(index=Cast(KT("evidence__screenshot_index"), IntegerField())).values_list(
        "run_id", "index"
    )
    return {by_place[place] for place in indexes if place in by_place}


def _of_programs(shas: list[str]) -> set[str]:
    """What a program sent along, for the same reason."""
    with connection.cursor() as cursor:
        cursor.execute(_SENT, [shas])
        return {row[0] for row in cursor.fetchall()}


def _of_memories(before: datetime) -> set[str]:
    """Scaled pictures and conversations stand in the memory of their run alone. Younger runs have younger files."""
    with connection.cursor() as cursor:
        cursor.execute(f"{_NAMED} created_at < %s AND (finished_at IS NULL OR finished_at >= %s)", [before, before])
        return {row[0] for row in cursor.fetchall()}


def rows() -> int:
    """Sessions that have ended, and tasks that failed long ago; how many."""
    now = timezone.now()
    ended = Session.objects.filter(expire_date__lt=now).delete()[0]
    failed: int = Task.objects.filter(stopped__lt=now - timedelta(days=FAILED_TASK_DAYS)).delete()[0]
    return ended + failed
