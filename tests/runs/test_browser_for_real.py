"""Runs of the playbook agent on a real browser: what was not done is not called done, and what is in the way is named."""

import asyncio
import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from approvals.models import Approval
from machines import pictures
from machines.models import Machine
from tests.cast import Api, Cast
from tests.drivers.conftest import Machine as Driven
from tests.drivers.conftest import Site, site  # noqa: F401
from tests.drivers.pressed import RECORD
from tests.drivers.test_reach import start
from tests.runs.driving import begin, drive_all, request_of, show

pytestmark = pytest.mark.browser
TERMS = (
    '<label><input type=checkbox id=a style="{}"><span>&#9744;</span>Accept the terms</label>'
    "<script>a.onchange = () => fetch('/was-' + a.checked)</script>"
)
CLIPPED = "position:absolute;width:1px;height:1px;clip:rect(0 0 0 0)"
COVERED = (
    '<button style="position:absolute;top:700px;left:560px;width:160px;height:40px" onclick="fetch(\'/paid\')">Pay now'
    '</button><div style="position:fixed;left:0;right:0;bottom:0;height:140px;background:#234"><button '
    'style="position:absolute;left:540px;top:60px;width:200px;height:80px" onclick="fetch(\'/accepted\')">Accept all'
    "</button></div>"
)


@pytest.fixture(scope="module")
def driven(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:  # noqa: F811
    """A browser that runs."""
    machine = start(site, tmp_path_factory)
    yield machine
    asyncio.run(machine.driver.stop(machine.spec, machine.handle))


@pytest.fixture
def machine(cast: Cast, driven: Driven, settings: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The row of that browser; the agent is less patient than for people."""
    settings.MACHINES_DIR = driven.spec.folder.parent
    row = Machine.objects.create(
        id=driven.spec.folder.name, team=cast.team, test=False, display_name="Browser", kind="browser",
        status="running", screen_width=1280, screen_height=800, handle=driven.handle, created_by={},
    )  # fmt: skip
    return row.id


def played(live: Api, machine: str, task: str, **fields: Any) -> dict[str, Any]:
    """The run of this task, driven as far as it goes; nobody is asked unless told."""
    run = begin(live, task, machine_id=machine, **{"human_in_the_loop": False, "agent": "playbook", **fields})
    drive_all()
    return show(live, run["id"])


def page(site: Site, body: str, **frames: str) -> str:  # noqa: F811
    site.asked.clear()
    for name, inner in frames.items():
        site.page(f"<!doctype html>{RECORD}{inner}", f"/{name}")
    return site.page(f"<!doctype html><meta charset=utf-8>{RECORD}<body>{body}")


def heard(site: Site) -> list[str]:  # noqa: F811
    """What the page told its server about what was done on it."""
    return [line.split()[1] for line in site.asked if line.split()[1] in KNOWN]


KNOWN = ("/was-true", "/was-false", "/paid", "/accepted", "/saved", "/signed-in", "/deleted")


@pytest.mark.parametrize("style", [CLIPPED, "width:0;height:0", "display:none", "position:absolute;left:-9999px"])
@pytest.mark.parametrize("task", ['check "Accept the terms"', 'click "Accept the terms"'])
def test_B03_a_drawn_box_is_checked_through_its_label(
    live: Api,
    machine: str,
    site: Site,  # noqa: F811
    task: str,
    style: str,
) -> None:
    run = played(live, machine, f"open {page(site, TERMS.format(style))}, {task}")
    assert (run["status"], run["steps_completed"]) == ("succeeded", 2), run
    assert heard(site) == ["/was-true"]


def test_B03_a_box_that_stays_as_it_was_is_a_failure(live: Api, machine: str, site: Site) -> None:  # noqa: F811
    body = TERMS.format("").replace("<script>", "<script>a.onclick = () => false;")
    run = played(live, machine, f'open {page(site, body)}, check "Accept the terms"')
    assert run["status"] == "failed"
    assert "still unchecked" in run["error"]["message"], run
    radio = "<label><input type=radio checked> Fast</label>"
    assert played(live, machine, f'open {page(site, radio)}, uncheck "Fast"')["status"] == "failed"


def test_B04_what_is_covered_is_not_pressed_through_its_cover(live: Api, machine: str, site: Site) -> None:  # noqa: F811
    address = page(site, COVERED)
    run = played(live, machine, f'open {address}, click "Pay now"')
    assert run["status"] == "failed"
    assert '"Accept all" (button) covers it.' in run["error"]["message"], run
    asked = played(live, machine, f'open {address}, click "Pay now"', human_in_the_loop=True)
    assert asked["status"] == "awaiting_human"
    assert '"Accept all" (button) covers it.' in request_of(live, asked)["agent_message"]
    assert heard(site) == []


def test_what_is_out_of_sight_costs_no_steps_and_is_seen_by_who_approves(
    live: Api,
    machine: str,
    site: Site,  # noqa: F811
) -> None:
    body = (
        '<div style="height:4000px"></div><button style="position:absolute;left:100px;width:300px;height:100px;border:0;'
        'background:#00f" onclick="fetch(\'/saved\')">Save</button><div style="height:2000px"></div>'
    )
    run = played(live, machine, f'open {page(site, body)}, click "Save"', human_in_the_loop=True,
                 permission_mode="approval")  # fmt: skip
    assert live.post(f"/runs/{run['id']}/resume", {}).status_code == 200
    drive_all()
    request = request_of(live, run)
    at = request["action"]["params"]
    seen = Approval.objects.get(id=request["id"]).context["picture"]
    image = Image.open(io.BytesIO(pictures.read(seen))).convert("RGB")
    assert image.getpixel((at["x"] - 120, at["y"])) == (0, 0, 255)
    assert live.post(f"/runs/{run['id']}/resume", {}).status_code == 200
    drive_all()
    run = show(live, run["id"])
    assert (run["status"], run["steps_completed"]) == ("succeeded", 2), run
    assert heard(site) == ["/saved"]


@pytest.mark.parametrize(
    "style", ["border:0;transform:scale(.5);transform-origin:0 0", "border:20px solid;padding:30px"]
)
def test_B10_a_frame_is_where_it_is_painted(live: Api, machine: str, site: Site, style: str) -> None:  # noqa: F811
    frame = f'<div style="height:300px"></div><iframe src=/inner width=800 height=160 style="{style}"></iframe>'
    inner = '<div style="height:80px"></div><button onclick="fetch(\'/saved\')">Scaled save</button>'
    run = played(live, machine, f'open {page(site, frame, inner=inner)}, click "Scaled save"')
    assert run["status"] == "succeeded", run
    assert heard(site) == ["/saved"]


PAID = '<select><option selected>Pending<option>Approved</select><div style="opacity:0">Payment received</div>'


@pytest.mark.parametrize("text", ["Approved", "Payment received"])
def test_B14_what_nobody_sees_is_not_visible(live: Api, machine: str, site: Site, text: str) -> None:  # noqa: F811
    address = page(site, PAID)
    run = played(live, machine, f'open {address}, check that "{text}" is visible', cua_version="v4")
    assert (run["status"], run["result"]["passed"] if run["result"] else None) in (("failed", False), ("failed", None))
    run = played(live, machine, f'open {address}, check that "{text}" is not visible, check that "Pending" is visible',
                 cua_version="v4")  # fmt: skip
    assert (run["status"], run["result"]["passed"]) == ("succeeded", True), run


def test_B14_a_spinner_that_has_faded_is_gone(live: Api, machine: str, site: Site) -> None:  # noqa: F811
    body = '<div id=s style="transition:opacity .2s">Loading</div><script>setTimeout(() => s.style.opacity = 0, 300)</script>'
    run = played(live, machine, f'open {page(site, body)}, wait for "Loading" to disappear')
    assert run["status"] == "succeeded", run


def test_B14_a_menu_that_is_moved_out_makes_no_name_ambiguous(live: Api, machine: str, site: Site) -> None:  # noqa: F811
    body = (
        '<nav style="position:fixed;left:0;top:0;width:200px;transform:translateX(-100%)"><a href="/deleted">Sign in</a>'
        "</nav><button onclick=\"fetch('/signed-in')\">Sign in</button>"
    )
    run = played(live, machine, f'open {page(site, body)}, click "Sign in"')
    assert run["status"] == "succeeded", run
    assert heard(site) == ["/signed-in"]


def test_B24_texts_that_read_the_same_are_the_same(live: Api, machine: str, site: Site) -> None:  # noqa: F811
    body = "<p>cafe\u0301</p><button onclick=\"fetch('/saved')\">Se\u0301lection</button><p>in&shy;voice</p>"
    task = f'open {page(site, body)}, check that "caf\u00e9" is visible, click "S\u00e9lection", check that "invoice" is visible'
    run = played(live, machine, task)
    assert run["status"] == "succeeded", run
    assert heard(site) == ["/saved"]
