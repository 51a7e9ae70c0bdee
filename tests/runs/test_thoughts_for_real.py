"""An agent that thinks on a real browser: what people approved is what the page heard, whoever died in between."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from machines.models import Machine
from tests.cast import Api, Cast
from tests.drivers.conftest import Machine as Driven
from tests.drivers.conftest import Site, site  # noqa: F401
from tests.drivers.test_reach import start
from tests.runs.driving import begin, drive_all, drive_and_die, request_of, show, status_of
from tests.runs.invariants import check_run
from tests.runs.thinker import ASKING, DONE, Play, Want, decide

pytestmark = pytest.mark.browser
# Two buttons under a clock that moves: the screen is never the same twice.
PAGE = (
    "<!doctype html><meta charset=utf-8><title>Shop</title><body style='margin:0'>"
    "<p style='height:100px;margin:0;font-size:40px' id=t></p>"
    "<button style='position:absolute;left:100px;top:200px;width:200px;height:60px' onclick=\"fetch('/paid')\">Pay 10</button>"
    "<button style='position:absolute;left:400px;top:200px;width:200px;height:60px' onclick=\"fetch('/deleted')\">Drop it</button>"
    "<script>setInterval(() => t.textContent = performance.now(), 30)</script>"
)
HEARD = ("/paid", "/deleted")


@pytest.fixture(scope="module")
def driven(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:  # noqa: F811
    machine = start(site, tmp_path_factory)
    yield machine
    asyncio.run(machine.driver.stop(machine.spec, machine.handle))


@pytest.fixture
def machine(cast: Cast, driven: Driven, settings: Any) -> str:
    settings.MACHINES_DIR = driven.spec.folder.parent
    row = Machine.objects.create(
        id=driven.spec.folder.name, team=cast.team, test=False, display_name="Browser", kind="browser",
        status="running", screen_width=1280, screen_height=800, handle=driven.handle, created_by={},
    )  # fmt: skip
    return row.id


def _at(x: int) -> Want:
    return "click", {"x": x, "y": 230, "button": "left", "count": 1}


def _heard(site: Site) -> list[str]:  # noqa: F811
    return [line.split()[1] for line in site.asked if line.split()[1] in HEARD]


@pytest.mark.parametrize("dies", [None, "ask_before", "write_intent", "end"])
def test_T_186_what_people_approved_is_what_the_page_heard(
    live: Api,
    machine: str,
    site: Site,  # noqa: F811
    play: Play,
    dies: str | None,
) -> None:
    """One thought, three actions: opened, paid for, and one that is denied."""
    site.asked.clear()
    url = site.page(PAGE)
    thinker = play([("open_url", {"url": url}), _at(200), _at(500)], [DONE])
    run = begin(live, machine_id=machine, agent="scripted", **ASKING)
    if dies == "ask_before":
        drive_and_die(dies)
    drive_all()
    run = decide(live, run)
    request = request_of(live, run)
    assert (request["action"]["target"]["name"], request["action"]["risk"]) == ("Pay 10", "spend")
    assert _heard(site) == []
    assert live.post(f"/approvals/{request['id']}/decide", {"verdict": "approve"}).status_code == 200
    if dies == "write_intent":
        drive_and_die(dies)
    drive_all()
    assert _heard(site) == ["/paid"]
    assert request_of(live, run)["action"]["target"]["name"] == "Drop it"
    assert live.post(f"/approvals/{request_of(live, run)['id']}/decide", {"verdict": "reject"}).status_code == 200
    if dies == "end":
        drive_and_die(dies)
    drive_all()
    assert (status_of(run["id"]), _heard(site), thinker.model.calls) == ("succeeded", ["/paid"], 2)
    assert show(live, run["id"])["steps_completed"] == 3
    check_run(run["id"])
