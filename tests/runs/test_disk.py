"""A disk without room: steps wait by name, nobody is blamed, and everything goes on by itself."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client

from config.own_processes import wait_until
from database import disk
from machines import pictures
from runs.driving.loop import RunLoop
from runs.models import Run, RunEvent, Step
from tests.cast import Api, Cast
from tests.runs.driving import begin, kinds, show, simulated
from tests.runs.invariants import check_run

Done = list[tuple[str, dict[str, Any]]]
Workers = Callable[[], RunLoop]


class Disk:
    """Stands in for the system's answer."""

    def __init__(self) -> None:
        self.left = 10**12

    def free(self, place: Path) -> int:
        return self.left


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(disk, "free", made.free)
    return made


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with a few pages; only root can make one."""
    place = tmp_path / "tiny"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def code(live: Api, run: str) -> str | None:
    return (show(live, run)["waiting_on"] or {}).get("code")


def ended(*ids: str) -> bool:
    return not Run.objects.filter(id__in=ids, finished_at__isnull=True).exists()


def fill(place: Path) -> Path:
    """Until not a byte fits."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    return filler


@pytest.mark.django_db(transaction=True)
def test_below_the_reserve_steps_wait_by_name_and_go_on_by_themselves(
    worker: Workers, cast: Cast, plenty: Disk, client: Client
) -> None:
    live = cast.api()
    worker()
    runs = [
        begin(live, f"do it [steps:{n}] [slow:50]", machine_id=simulated(live, f"m{n}"), agent="scripted")["id"]
        for n in (30, 31)
    ]
    assert wait_until(lambda: all(Step.objects.filter(run_id=run).exists() for run in runs), 60)
    plenty.left = 1000
    late = begin(live, "do it", machine_id=simulated(live, "late"), agent="scripted")["id"]
    assert wait_until(lambda: all("The disk" in str(texts(run)) for run in runs), 60)
    steps = Step.objects.count()
    assert {code(live, run) for run in (*runs, late)} == {"disk_full"}
    assert show(live, late)["status"] == "queued"
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert any("nearly full" in each for each in ready.json()["missing"])
    page = cast.browser("olga").get("/runs").content.decode()
    assert "is nearly full" in page
    assert live.post(f"/runs/{runs[1]}/cancel").status_code == 200
    assert wait_until(lambda: show(live, runs[1])["stop_confirmed_at"] is not None, 60)
    assert Step.objects.count() == steps, "nothing is begun without room"
    plenty.left = 10**12
    assert wait_until(lambda: ended(runs[0], late), 90)
    for run in (runs[0], late):
        assert (show(live, run)["status"], Run.objects.get(id=run).takeovers) == ("succeeded", 0)
        check_run(run)
    assert "nearly full" not in cast.browser("olga").get("/runs").content.decode()


def texts(run: str) -> list[str]:
    return [data["text"] for data in RunEvent.objects.filter(run_id=run, type="text").values_list("data", flat=True)]


@pytest.mark.root
@pytest.mark.django_db(transaction=True)
def test_a_picture_that_finds_no_room_is_kept_later_and_nothing_is_done_twice(
    worker: Workers, cast: Cast, tiny: Path, settings: Any, acted: Done
) -> None:
    """A real file system without a byte left, also in the middle of a step; quotas would look the same."""
    settings.DISK_RESERVE_MB = 0
    settings.STORAGES = settings.STORAGES | {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tiny}}
    }
    pictures.forget()
    assert default_storage.path("x").startswith(str(tiny))
    live = cast.api()
    filler = fill(tiny)
    loop = worker()
    run = begin(live, "do it [steps:3]", machine_id=simulated(live), agent="scripted")["id"]
    assert wait_until(loop.disk.full, 60)
    assert wait_until(lambda: code(live, run) == "disk_full", 60), show(live, run)
    filler.unlink()
    assert wait_until(lambda: ended(run), 90)
    assert show(live, run)["status"] == "succeeded"
    assert len(acted) == 3
    check_run(run)
    pictures.forget()


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_database_that_finds_no_room_makes_no_worker_a_lost_one(
    worker: Workers, cast: Cast, acted: Done, small_tablespace: Path
) -> None:
    """PostgreSQL says DiskFull (53100) to every event that is to be written. Two workers, five runs, and none is blamed."""
    live = cast.api()
    machines = [simulated(live, f"m{n}") for n in range(5)]
    loops = [worker(), worker()]
    runs = [begin(live, "do it [steps:30] [slow:20]", machine_id=m, agent="scripted")["id"] for m in machines]
    assert wait_until(lambda: all(Step.objects.filter(run_id=run).exists() for run in runs), 60)
    filler = fill(small_tablespace)
    assert wait_until(lambda: any(loop.disk.full() for loop in loops), 90)
    refused = live.post("/runs", {"task": "x", "machine_id": machines[0], "agent": "scripted"})
    if refused.status_code != 200:  # a page of the table may still have had room for it
        assert (refused.status_code, refused.json()["error"]["reason_code"]) == (503, "disk_full")
        assert refused["Retry-After"] == "30"
    filler.unlink()
    assert wait_until(lambda: ended(*runs), 150), [(kinds(run)[-1], Run.objects.get(id=run).status) for run in runs]
    for run in runs:
        assert (show(live, run)["status"], Run.objects.get(id=run).error) == ("succeeded", None)
        check_run(run)
    assert len(acted) >= 150


@pytest.fixture
def small_tablespace(transactional_db: None, tiny: Path) -> Iterator[Path]:
    """The table of events lies on the tiny file system."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        owner = Path(cursor.fetchone()[0]).stat()
        place = tiny / "space"
        place.mkdir()
        os.chown(place, owner.st_uid, owner.st_gid)
        for above in (tiny, *tiny.parents):
            if above.stat().st_uid == os.geteuid() and above != Path("/"):
                above.chmod(above.stat().st_mode | 0o011)
        cursor.execute(f"CREATE TABLESPACE tiny LOCATION '{place}'")
        cursor.execute("ALTER TABLE runs_runevent SET TABLESPACE tiny")
    yield tiny
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE runs_runevent SET TABLESPACE pg_default")
        cursor.execute("DROP TABLESPACE tiny")
