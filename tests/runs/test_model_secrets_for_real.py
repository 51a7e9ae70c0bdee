"""What people give in confidence, or do in private, on a real browser: nothing of it reaches a model or stays anywhere."""

import base64
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from inference.wires import WIRES
from machines import pictures
from runs.models import Run
from tests.cast import Api, Cast
from tests.drivers.conftest import Site, site  # noqa: F401
from tests.emulator.server import Emulator
from tests.emulator.story import Story, Turn
from tests.runs.driving import begin, drive_all, request_of, show, status_of
from tests.runs.invariants import check_run
from tests.runs.ten_moves import click, emulated, profile
from tests.runs.test_model_for_real import driven, machine  # noqa: F401
from tests.runs.test_secrets import _answers, _dump
from tests.runs.thinker import ASKING
from tests.takeover.control import drive_with, release, take

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
SECRET = "tr0ub4dor-and-3"
FORM = (
    "<!doctype html><meta charset=utf-8><title>Sign in</title><style>*{caret-color:transparent}</style>"
    "<form method=post action=/in><input type=password name=p aria-label=Password "
    "style='position:absolute;left:32px;top:180px;width:320px;height:40px'></form><p id=o></p>"
    "<script>document.querySelector('input').oninput = (e) => { o.textContent = `You typed ${e.target.value}`; }</script>"
)
WELCOME = "<!doctype html><title>In</title><h1>Welcome</h1>"
ASKS = ("ask_human", {"question": "The password?", "kind": "input", "fields": [{"name": "password", "secret": True}]})
AUTONOMOUS = ASKING | {"permission_mode": "autonomous"}
END = ("finish", {"passed": True, "summary": "Signed in."})


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "emulator.log"


# One wire at each `make test`: none of them knows of secrets.
@pytest.fixture(params=[wire if wire == "openai" else pytest.param(wire, marks=pytest.mark.again) for wire in WIRES])
def vendor(request: pytest.FixtureRequest, cast: Cast, log: Path) -> Iterator[Emulator]:
    with emulated(request.param, {"in": Story([])}, log=log) as emulator:
        profile(cast, emulator)
        yield emulator


def stored_files() -> Iterator[bytes]:
    """Every file of the pictures' folder."""
    return (file.read_bytes() for file in Path(default_storage.path("pictures")).rglob("*") if file.is_file())


def test_T_187_a_secret_of_a_person_is_typed_by_the_model_and_stands_nowhere(
    live: Api,
    machine: str,  # noqa: F811
    site: Site,  # noqa: F811
    vendor: Emulator,
    log: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    site.page(WELCOME, "/in")
    vendor.stories["in"] = Story(
        [
            Turn([("open_url", {"url": site.page(FORM)})]),
            Turn([ASKS], thinking="I do not know it."),
            Turn([click(64), ("type_text", {"text": "{{secret:password}}"}), ("page_text", {})], text="I sign in."),
            Turn([("key_press", {"key": "enter"})]),
            Turn([END]),
        ]
    )
    site.asked.clear()
    run = begin(live, "Sign in. story:in", machine_id=machine, agent="eye", **AUTONOMOUS)
    drive_all()
    body = {"verdict": "submit", "values": {"password": SECRET}}
    answer = live.post(f"/approvals/{request_of(live, run)['id']}/decide", body)
    assert answer.status_code == 200
    assert SECRET not in _dump()
    drive_all()
    assert status_of(run["id"]) == "succeeded", show(live, run["id"])
    assert f"POST /in p={SECRET}" in site.asked
    asked = log.read_text()
    assert asked.count("{{secret:password}}") > 1  # the model was told of it, and wanted it typed
    assert "You typed [redacted]" in asked
    for text in (asked, _dump(), _answers(live, run["id"]), caplog.text, answer.content.decode()):
        assert SECRET not in text
    assert not any(SECRET.encode() in content for content in stored_files())
    assert Run.objects.get(id=run["id"]).secrets is None
    check_run(run["id"])


def test_T_172_nothing_of_a_private_takeover_reaches_the_model(
    live: Api,
    machine: str,  # noqa: F811
    site: Site,  # noqa: F811
    vendor: Emulator,
    log: Path,
) -> None:
    """A person signs in by hand in the middle of a batch; what is sent before and after holds no picture of that time."""
    site.page(WELCOME, "/in")
    form = site.page(FORM)
    vendor.stories["in"] = Story(
        [
            Turn([("open_url", {"url": form}), click(64), ("type_text", {"text": "guess"})]),
            Turn([("page_text", {})]),
            Turn([END]),
        ]
    )
    site.asked.clear()
    begin(live, "Sign in. story:in", machine_id=machine, agent="eye", **AUTONOMOUS)
    leases: list[dict[str, Any]] = []
    drive_with("write_intent", lambda: leases.append(take(live, machine, private=True)), nth=2)
    (lease,) = leases
    seen = [by_hand(live, lease, command, **params) for command, params in (
        ("click", {"x": 64, "y": 200}), ("type_text", {"text": SECRET}), ("key_press", {"key": "enter"}),
    )]  # fmt: skip
    drive_all()
    assert status_of(lease["run_id"]) == "awaiting_human"
    release(live, lease, note="I signed in.")
    drive_all()
    assert status_of(lease["run_id"]) == "succeeded", show(live, lease["run_id"])
    assert [line for line in site.asked if line.startswith("POST")] == [f"POST /in p={SECRET}"]
    asked = log.read_text()
    assert SECRET not in asked
    assert ("I signed in." in asked, "Welcome" in asked) == (True, True)
    sent = {picture.sha for picture in vendor.pictures.values()}
    assert as_any(look(live, machine), sent)  # the page on which the person left the machine
    assert not any(as_any(png, sent) for png in seen[:2])
    check_run(lease["run_id"])


def by_hand(api: Api, lease: dict[str, Any], command: str, **params: Any) -> bytes:
    """What a person does, and what they see then."""
    path, body = f"/machines/{lease['machine_id']}", {"command": command, "parameters": params, "lease_id": lease["id"]}
    assert api.post(f"{path}/actions", body).status_code == 200
    return look(api, lease["machine_id"])


def look(api: Api, machine_id: str) -> bytes:
    shot = api.get(f"/machines/{machine_id}/screenshot")
    assert shot.status_code == 200
    return base64.b64decode(shot.json()["image_b64"])


def as_any(png: bytes, sent: set[str]) -> bool:
    """Whether one of the pictures that were sent shows the same."""
    return any(pictures.changed_share(pictures.read(sha), png) == 0 for sha in sent)
