"""A run on a browser begins with one fresh tab, once; what it opened stays its own until it ends."""
# ruff: noqa: F811

import asyncio
from typing import Any

import pytest

from machines.models import Machine
from tests.cast import Api
from tests.drivers.conftest import Machine as Driven
from tests.drivers.conftest import Site, site  # noqa: F401
from tests.runs.driving import begin, drive_all, show
from tests.runs.test_browser_for_real import driven, machine, played  # noqa: F401

pytestmark = pytest.mark.browser


def visit(driven: Driven, name: str, **params: Any) -> None:
    """Somebody did this by hand before."""

    async def act() -> None:
        session = await driven.driver.attach(driven.spec, driven.handle)
        driven.session = session
        if name == "click":
            params.update(await driven.at("Go"))
        await driven.do(name, timeout_ms=2000, **params)
        await session.close()

    asyncio.run(act())


@pytest.mark.parametrize(
    "left",
    [
        "while (true) alert(1)",
        "for (let n = 0; n < 60; n++) window.open('about:blank', 'w' + n); while (true) {}",
        "addEventListener('beforeunload', (e) => { e.preventDefault(); e.returnValue = 1 })",
    ],
    ids=["alerts", "popups", "leave"],
)
def test_what_a_run_left_does_not_break_the_next(
    left: str,
    live: Api,
    machine: str,
    driven: Driven,
    site: Site,
) -> None:
    visit(driven, "open_url", url=site.page(f'<button onclick="{left}">Go</button>', "/trap"))
    visit(driven, "click")
    run = played(
        live, machine, f'open {site.page("<title>Well</title>Good day", "/well")}\ncheck that "Good day" is visible'
    )
    assert run["status"] == "succeeded", run["error"]
    row = Machine.objects.get()
    assert (row.status, row.begun_for) == ("running", run["id"])


def test_a_run_that_waited_finds_its_page_again(live: Api, machine: str, site: Site) -> None:
    page = site.page("<title>Mine</title>Good day", "/mine")
    task = f'open {page}\nask the human for approval\ncheck that "Good day" is visible'
    run = begin(live, task, machine_id=machine, agent="playbook")
    drive_all()
    assert show(live, run["id"])["status"] == "awaiting_human"
    assert live.post(f"/runs/{run['id']}/resume").status_code == 200
    drive_all()
    ended = show(live, run["id"])
    assert ended["status"] == "succeeded", ended["error"]
