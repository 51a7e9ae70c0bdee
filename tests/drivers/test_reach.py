"""Where a click goes: pages that hide, cover, move, scale and frame what is meant; each with who received the click."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from machines.drivers.browser import driver as browser_driver
from tests.drivers.conftest import Machine, Site, spec_of
from tests.drivers.pressed import click, element, html, pressed

pytestmark = pytest.mark.browser

SAVE = '<button id=t style="width:120px;height:40px">Save</button>'
SPACER = '<div style="height:60px"></div>'
FAR = '<div style="height:1500px"></div>'


class Case(NamedTuple):
    """One page. `got`: what the page says received the click, in order; `problem`: words of the refusal instead.

    `inner`, `deeper`: pages in its frames. `name`, `role`: of the target. `absent`: it is not even a candidate.
    """

    body: str
    got: tuple[str, ...] = ("t",)
    problem: str = ""
    inner: str = ""
    deeper: str = ""
    name: str = "Save"
    role: str | None = "button"
    absent: bool = False


def frame(style: str, host: str = "", size: str = "width=400 height=200", name: str = "inner") -> str:
    return f'{SPACER}<iframe src="{host}/{name}" {size} style="{style}"></iframe>'


def root(mode: str, inside: str = SAVE) -> str:
    return (
        f"<div id=h></div><script>const r = h.attachShadow({{mode: '{mode}'}}); r.innerHTML = `{inside}`;"
        "r.addEventListener('click', (e) => say('in:' + e.target.id))</script>"
    )


def box(style: str) -> Case:
    """A checkbox that is hidden somehow, with a drawn one in its label."""
    body = f"<label><input type=checkbox id=t style='{style}'><span id=s>&#9744;</span> Accept the terms</label>"
    return Case(body, ("s", "t"), name="☐ Accept the terms", role="checkbox")


OTHER = "http://localhost:{port}"  # another site than 127.0.0.1
CASES = {
    "plain": Case(SAVE),
    "below the fold": Case(FAR + SAVE + FAR),
    "smooth scrolling": Case("<style>html{scroll-behavior:smooth}</style>" + FAR + SAVE + FAR),
    "inner scroller": Case(
        '<div style="height:200px;width:300px;overflow:auto"><div style="height:900px"></div>'
        f'{SAVE}<div style="height:300px"></div></div>'
    ),
    "under a sticky bar": Case(
        '<div id=bar style="position:fixed;top:0;left:0;right:0;height:80px;background:#ccc">bar</div>' + FAR + SAVE + FAR
    ),
    "svg": Case(
        "<svg width=200 height=100><g id=t role=button aria-label=Save><rect id=rect width=100 height=50 x=40 y=20 /></g></svg>",
        ("rect",),
    ),
    "display: contents": Case(
        '<div id=t role=button style="display:contents"><span id=s>Save</span></div>', ("s",)
    ),
    "wrapped link": Case(
        '<div style="width:200px">some words before the <a id=t href="#x">link that wraps over two lines here</a></div>',
        name="link that wraps over two lines here", role="link",
    ),
    "half covered": Case(
        '<button id=t style="position:absolute;left:20px;top:20px;width:200px;height:60px">Save</button>'
        '<div id=cover style="position:absolute;left:100px;top:0;width:60px;height:100px;background:#faa"></div>'
    ),
    "clip-path leaves a part": Case(
        '<button id=t style="position:absolute;width:200px;height:60px;clip-path:inset(0 150px 0 0)">Save</button>'
    ),
    "clip-path leaves nothing": Case(
        '<button id=t style="position:absolute;clip-path:inset(50%)">Save</button>', (), "no place on the screen"
    ),
    "button in a card link": Case(
        '<a id=t href="#card" aria-label=Card style="display:block;width:300px;height:100px;text-align:center">'
        '<button id=other style="width:200px;height:60px">Delete</button></a>', name="Card", role="link",
    ),
    "button of the same name in a link": Case(
        '<a href="#card" style="display:block;width:300px"><button id=t style="width:300px;height:60px">Buy</button></a>',
        name="Buy", role="link",
    ),
    "span in a button": Case('<button id=t><span id=s style="padding:20px">Save</span></button>', ("s",)),
    "drawn over itself": Case(
        "<style>#t{position:relative} #t::before{content:'';position:absolute;inset:0;background:#fa08}</style>" + SAVE
    ),
    "covered": Case(
        '<button id=t style="position:absolute;top:600px;left:560px;width:160px;height:40px">Save</button>'
        '<div style="position:fixed;left:0;right:0;bottom:0;height:140px;background:#234">'
        '<button style="position:absolute;left:540px;top:10px;width:200px;height:80px">Accept all</button></div>',
        (), '"Accept all" (button) covers it.',
    ),
    "covered by what has no name": Case(
        SAVE + '<div style="position:fixed;inset:0;background:#0008"></div>', (), "the div covers it"
    ),
    "seen through a cover that takes no clicks": Case(
        SAVE + '<div style="position:fixed;inset:0;pointer-events:none;background:#0001"></div>'
    ),
    "takes no clicks itself": Case('<button id=t style="pointer-events:none">Save</button>', (), "cannot be pressed"),
    "its child takes no clicks": Case('<button id=t><span style="pointer-events:none;padding:20px">Save</span></button>'),
    "under a modal dialog": Case(
        SAVE + "<dialog id=d aria-label=Sure><button>OK</button></dialog><script>d.showModal()</script>", absent=True
    ),
    "in a modal dialog": Case(f"<dialog id=d>{SAVE}</dialog><script>d.showModal()</script>"),
    "no opacity": Case(f'<div style="opacity:0">{SAVE}</div>', (), "cannot be seen"),
    "hardly any opacity": Case(f'<div style="opacity:0.01">{SAVE}</div>', (), "cannot be seen"),
    "filtered away": Case(f'<div style="filter:opacity(0)">{SAVE}</div>', (), "cannot be seen"),
    "moved out": Case(
        f'<nav style="position:fixed;left:0;top:0;width:200px;transform:translateX(-100%)">{SAVE}</nav>',
        (), "no place on the screen",
    ),
    "cut away": Case(
        '<div style="height:100px;width:300px;overflow:hidden;position:relative">'
        '<button id=t style="position:absolute;left:-500px">Save</button></div>', (), "no place on the screen",
    ),
    "open root": Case(root("open"), ("t", "in:t")),
    "closed root": Case(root("closed"), ("h", "in:t")),
    "closed root in a closed root": Case(
        "<div id=h></div><script>const r = h.attachShadow({mode: 'closed'}); r.innerHTML = '<div id=k></div>';"
        "const q = r.firstChild.attachShadow({mode: 'closed'});"
        f"q.innerHTML = `{SAVE}`; q.addEventListener('click', (e) => say('in:' + e.target.id))</script>",
        ("h", "in:t"),
    ),
    "closed root under a cover": Case(
        root("closed") + '<div role=dialog aria-label=Wait style="position:fixed;inset:0;opacity:.5;background:#fff"></div>',
        (), '"Wait" (dialog) covers it.',
    ),
    "slotted": Case(
        '<div id=h><span id=t style="padding:10px">Save</span></div><script>'
        "h.attachShadow({mode: 'open'}).innerHTML = '<button><slot></slot></button>'</script>"
    ),
    "slotted in a closed root": Case(
        '<div id=h><span id=t style="padding:10px">Save</span></div><script>'
        "h.attachShadow({mode: 'closed'}).innerHTML = '<button><slot></slot></button>'</script>"
    ),
    "names that shadow": Case(
        f"<form id=f><input name=parentNode><input name=checkVisibility><input name=nodeType>{SAVE}</form>"
        "<img name=body><script>f.onsubmit = () => false</script>"
    ),
    "clipped box": box("position:absolute;width:1px;height:1px;clip:rect(0 0 0 0)"),
    "box that is not displayed": box("display:none"),
    "box far out": box("position:absolute;left:-9999px"),
    "box without size": box("width:0;height:0;opacity:0;margin:0"),
    "box far out in a scrolled closed root": Case(
        root("closed", "<div style=width:80px;height:40px;overflow:auto><div style=height:800px></div><label id=l style="
             "display:inline-block><input type=checkbox id=t style=position:absolute;left:-9999px>Box</label></div>"),
        ("h", "in:l", "h", "in:t"), name="Box", role="checkbox",
    ),
    "box without opacity": Case(
        "<span style='position:relative;display:inline-block;width:24px;height:24px;background:#ddd'>"
        "<input type=checkbox aria-label=Custom id=t style='position:absolute;inset:0;opacity:0;margin:0;"
        "width:24px;height:24px'></span>", name="Custom", role="checkbox",
    ),
    "label with a link in its middle": Case(
        '<label id=l style="display:block;width:300px"><input type=checkbox id=t style="position:absolute;width:1px;'
        'height:1px;clip:rect(0,0,0,0)"><span id=s>I accept</span> '
        '<a href="#terms" style="display:inline-block;width:200px">the terms</a></label>',
        ("s", "t"), name="I accept the terms", role="checkbox",
    ),
    "frame": Case(frame("border:20px solid;padding:30px"), inner=SAVE),
    "scaled frame": Case(
        frame("border:0;transform:scale(.5);transform-origin:0 0", size="width=800 height=160"), inner=SPACER + SAVE
    ),
    "turned frame": Case(
        f'<div style="padding:100px">{frame("border:5px solid;transform:rotate(30deg)")}</div>', inner=SAVE
    ),
    "scrolled frame": Case(frame("border:2px solid"), inner=FAR + SAVE + FAR),
    "frame in a scrolled page": Case(FAR + frame("border:2px solid") + FAR, inner=FAR + SAVE + FAR),
    "frame in a frame": Case(
        frame("border:10px solid;padding:5px", size="width=600 height=400"),
        inner=frame("border:7px solid;transform:scale(.8)", name="deeper"), deeper=SAVE,
    ),
    "covered frame": Case(
        frame("border:0") + '<div role=alert style="position:fixed;inset:0;background:#0008">Wait</div>',
        (), '"Wait" (alert) covers it.', inner=SAVE,
    ),
    "other site": Case(frame("border:20px solid;padding:30px", OTHER), inner=SAVE),
    "other site, scaled": Case(
        frame("border:0;transform:scale(.5);transform-origin:0 0", OTHER), inner=SPACER + SAVE
    ),
    "other site, turned": Case(
        f'<div style="padding:100px">{frame("border:5px solid;transform:rotate(30deg)", OTHER)}</div>', inner=SAVE
    ),
    "other site, scrolled": Case(FAR + frame("border:3px solid", OTHER) + FAR, inner=FAR + SAVE + FAR),
    "other site, covered": Case(
        frame("border:0", OTHER) + '<div role=alert style="position:fixed;inset:0;background:#0008">Wait</div>',
        (), '"Wait" (alert) covers it.', inner=SAVE,
    ),
    "other site, closed root": Case(frame("border:1px solid", OTHER), ("h", "in:t"), inner=root("closed")),
    "this site in another": Case(
        frame("border:10px solid;padding:5px", OTHER, size="width=600 height=400"),
        inner=frame("border:7px solid", "http://127.0.0.1:{port}", name="deeper"), deeper=SAVE,
    ),
}  # fmt: skip


def start(site: Site, folder: pytest.TempPathFactory, *flags: str) -> Machine:
    port = site.host.rpartition(":")[2]
    machine = Machine(spec_of("browser", folder.mktemp("browser") / "machine"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MACHINE_ALLOWED_HOSTS", f"{site.host},localhost:{port}")
        patch.setattr(browser_driver, "_FLAGS", (*browser_driver._FLAGS, *flags))
        machine.handle = asyncio.run(machine.driver.start(machine.spec, None))
    return machine


EITHER = [
    pytest.param((), id="one process"),
    pytest.param(("--site-per-process",), id="a process per site", marks=pytest.mark.again),
]


@pytest.fixture(scope="module", params=EITHER)
def either_machine(
    request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    machine = start(site, tmp_path_factory, *request.param)
    yield machine
    asyncio.run(machine.driver.stop(machine.spec, machine.handle))


@pytest.fixture
async def either(either_machine: Machine) -> AsyncIterator[Machine]:
    """A browser in which frames of other sites live in the page's process, and one in which they do not."""
    either_machine.session = await either_machine.driver.attach(either_machine.spec, either_machine.handle)
    yield either_machine
    while (await either_machine.session.state()).dialog:
        await either_machine.do("key_press", key="escape")
    await either_machine.session.close()


async def open_case(machine: Machine, site: Site, case: Case) -> None:
    port = site.host.rpartition(":")[2]
    frames = {"inner": case.inner, "deeper": case.deeper}
    for name, inner in frames.items():
        site.page(html(inner.replace("{port}", port), "margin: 10px"), f"/{name}")
    result = await machine.do("open_url", url=site.page(html(case.body.replace("{port}", port))))
    assert result.success, result.error


@pytest.mark.parametrize("name", CASES)
async def test_a_click_reaches_what_is_meant_or_is_refused(either: Machine, site: Site, name: str) -> None:
    case = CASES[name]
    await open_case(either, site, case)
    target = await element(either, case.name, case.role)
    if case.absent:
        assert target is None
        return
    assert target is not None
    result = await click(either, target)
    if case.problem:
        assert not result.success
        assert case.problem in str(result.error)
        assert await pressed(either) == []
    else:
        assert result.success, result.error
        assert result.data["hit"]["name"] == case.name
        assert tuple(await pressed(either)) == case.got
