"""Pictures go when their time is over and nothing names them any more."""

import io
import os
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from PIL import Image

from approvals.external import pictures as sent_pictures
from approvals.models import Approval, ExternalRequest
from database import stored_files
from database.listening import own_connection
from machines import pictures
from machines.models import Machine
from runs import retention
from runs.models import Look, Run, Screenshot
from tests.cast import Api, Cast
from tests.runs.driving import ended, waiting

pytestmark = pytest.mark.django_db
OLD = 91 * 86_400


@pytest.fixture
def artifacts(settings: Any, tmp_path: Path) -> Iterator[Path]:
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    pictures.forget()
    yield tmp_path
    pictures.forget()


def old_picture(artifacts: Path, content: bytes = b"a picture") -> str:
    sha = pictures.store(content)
    path = artifacts / pictures.path_of(sha)
    os.utime(path, (path.stat().st_mtime - OLD,) * 2)
    pictures.forget()
    return sha


def name_it(run: str, sha: str, index: int = 900) -> Screenshot:
    return Screenshot.objects.create(
        run_id=run, index=index, step=1, phase="after", sha256=sha, width=1, height=1, taken_at=timezone.now()
    )


def ended_long_ago(api: Api) -> str:
    run = str(ended(api)["id"])
    Run.objects.filter(id=run).update(
        finished_at=timezone.now() - timedelta(days=91), created_at=timezone.now() - timedelta(days=92)
    )
    return run


def sweep() -> int:
    return sum(retention.clear(folder) for folder in retention.FOLDERS)


def is_there(sha: str) -> bool:
    try:
        return bool(pictures.read(sha))
    except FileNotFoundError:
        return False


def test_a_picture_of_a_run_that_ended_long_ago_goes_and_its_row_stays(test_key: Api, artifacts: Path) -> None:
    run, sha = ended_long_ago(test_key), old_picture(artifacts)
    name_it(run, sha)
    assert test_key.get(f"/runs/{run}/screenshots/900").status_code == 200
    assert sweep() == 1
    assert not is_there(sha)
    assert test_key.get(f"/runs/{run}/screenshots/900").status_code == 404
    assert len(test_key.get(f"/runs/{run}/screenshots").json()["data"]) > 0
    assert sweep() == 0


def _of_a_waiting_run(api: Api, cast: Cast, sha: str) -> None:
    run = waiting(api)["id"]
    Run.objects.filter(id=run).update(created_at=timezone.now() - timedelta(days=400))
    name_it(run, sha)


def _of_a_young_run(api: Api, cast: Cast, sha: str) -> None:
    name_it(str(ended(api)["id"]), sha)


def _of_two_runs(api: Api, cast: Cast, sha: str) -> None:
    name_it(ended_long_ago(api), sha)
    name_it(str(ended(api)["id"]), sha)


def _of_a_request(api: Api, cast: Cast, sha: str) -> None:
    run = str(waiting(api)["id"])
    api.post(f"/runs/{run}/cancel", {})
    shown = Approval.objects.get(run_id=run).evidence["screenshot_index"]
    if shown is None:
        shown = 900
        Approval.objects.filter(run_id=run).update(evidence={"screenshot_index": 900})
    Screenshot.objects.filter(run_id=run, index=shown).delete()
    name_it(run, sha, shown)
    Run.objects.filter(id=run).update(finished_at=timezone.now() - timedelta(days=1000))


def _of_a_machine(api: Api, cast: Cast, sha: str) -> None:
    Machine.objects.create(team=cast.team, test=False, display_name="D", kind="terminal", created_by={}, picture=sha)


def _of_a_look(api: Api, cast: Cast, sha: str) -> None:
    Look.objects.create(
        run_id=waiting(api)["id"], number=0, step=1, sha256=sha, width=1, height=1, taken_at=timezone.now()
    )


def _of_a_memory(api: Api, cast: Cast, sha: str) -> None:
    run = waiting(api)["id"]
    Run.objects.filter(id=run).update(
        memory={"log": [{"picture": sha}]}, created_at=timezone.now() - timedelta(days=400)
    )


@pytest.mark.parametrize(
    "needs",
    [_of_a_waiting_run, _of_a_young_run, _of_two_runs, _of_a_request, _of_a_machine, _of_a_look, _of_a_memory],
    ids=lambda needs: needs.__name__,
)
def test_what_somebody_may_still_need_stays(
    needs: Callable[[Api, Cast, str], None], test_key: Api, cast: Cast, artifacts: Path
) -> None:
    sha = old_picture(artifacts)
    needs(test_key, cast, sha)
    assert sweep() == 0
    assert is_there(sha)


def test_what_a_program_sent_stays_with_its_request(cast: Cast, artifacts: Path) -> None:
    red, blue = (sent_pictures.store([_png(colour)])[0] for colour in ("red", "blue"))
    subject = ExternalRequest.objects.create(
        team=cast.team, test=True, asker_id="key_1", asker={}, content_hash="", source={"name": "CI"}
    )
    Approval.objects.create(
        team=cast.team, test=True, external_request=subject, asker_id="key_1", kind="approval", title="?", message="",
        evidence={"pictures": [red]},
    )  # fmt: skip
    paths = [artifacts / sent_pictures.path_of(each["sha256"], "png") for each in (red, blue)]
    for path in paths:
        os.utime(path, (path.stat().st_mtime - OLD,) * 2)
    assert sweep() == 1
    assert [path.exists() for path in paths] == [True, False]


def _png(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(file, "PNG")
    return file.getvalue()


def test_a_picture_that_is_stored_again_is_young_again(artifacts: Path) -> None:
    sha = old_picture(artifacts)
    assert pictures.store(b"a picture") == sha
    assert sweep() == 0
    assert is_there(sha)


def test_one_that_is_stored_while_it_is_looked_at_stays(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After retention found it old and unnamed, and before it is gone, somebody stores it and will name it."""
    sha = old_picture(artifacts)
    remove = stored_files.remove

    def late(path: Path, before: float) -> bool:
        pictures.store(b"a picture")
        return remove(path, before)

    monkeypatch.setattr(stored_files, "remove", late)
    assert sweep() == 0
    assert is_there(sha)


def test_one_that_is_stored_after_it_went_is_written_again(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha = old_picture(artifacts)
    rename = Path.rename

    def then_stored(path: Path, goal: Path) -> Path:
        gone = rename(path, goal)
        threading.Thread(target=pictures.store, args=(b"a picture",)).run()
        return gone

    monkeypatch.setattr(Path, "rename", then_stored)
    sweep()
    assert is_there(sha)
    assert list((artifacts / "pictures" / sha[:2]).iterdir()) == [artifacts / pictures.path_of(sha)]


def test_zero_days_keep_them_for_ever(artifacts: Path, settings: Any) -> None:
    settings.PICTURE_DAYS = 0
    assert all(retention.files() == 0 for _ in retention.FOLDERS)


def test_nothing_goes_while_a_backup_is_made(artifacts: Path) -> None:
    sha = old_picture(artifacts)
    with own_connection() as own:
        own.execute("SELECT pg_advisory_lock_shared(%s)", [retention.KEEP_FILES])
        assert all(retention.files() == 0 for _ in retention.FOLDERS)
        assert is_there(sha)
    assert sum(retention.files() for _ in retention.FOLDERS) == 1


def test_sessions_that_have_ended_go(cast: Cast) -> None:
    cast.browser("olga")
    Session.objects.create(session_key="x", session_data="", expire_date=timezone.now() - timedelta(seconds=1))
    assert retention.rows() == 1
    assert Session.objects.count() == 1
