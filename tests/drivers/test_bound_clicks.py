"""A click at a bare point goes to what it was judged by, or is not made: pages move between the look and the press."""

import pytest

from machines.drivers.base import Action, ActResult, Target
from tests.drivers.conftest import Machine, Site, browser, browser_machine, site  # noqa: F401

pytestmark = pytest.mark.browser
PAGE = """<!doctype html><style>button{position:absolute;left:100px;top:100px;width:200px;height:60px}</style>
<button id=a onclick="fetch('/a', {method: 'POST'})">Read more (3)</button>
<button id=b style="display:none" onclick="fetch('/b', {method: 'POST'})">Pay now</button>"""
SWAP = "a.style.display = 'none'; b.style.display = '';"
AT = {"x": 200, "y": 130}


def pressed(site: Site) -> list[str]:  # noqa: F811
    return [line.split()[1] for line in site.asked if line.startswith("POST")]


@pytest.fixture(autouse=True)
def _nothing_asked(site: Site) -> None:  # noqa: F811
    site.asked.clear()


async def click(machine: Machine, *, firm: bool) -> ActResult:
    target = await machine.session.target(Action("click", AT))
    assert target == Target("button", "Read more (3)", "submit")
    return await machine.session.act(Action("click", AT, expects=target, firm=firm))


@pytest.mark.parametrize("firm", [False, True])
async def test_it_is_made_where_nothing_moved_or_only_numbers_went_on(browser: Machine, site: Site, firm: bool) -> None:  # noqa: F811
    await browser.do("open_url", url=site.page(PAGE, "/still"))
    assert (await click(browser, firm=firm)).success
    act = Action("click", AT, expects=Target("button", "Read more (99)"), firm=firm)
    assert (await browser.session.act(act)).success
    assert pressed(site) == ["/a", "/a"]


async def test_it_is_not_made_where_something_else_lies_now(browser: Machine, site: Site) -> None:  # noqa: F811
    await browser.do("open_url", url=site.page(PAGE + f"<script>{SWAP}</script>", "/moved"))
    act = Action("click", AT, expects=Target("button", "Read more (3)"))
    result = await browser.session.act(act)
    assert not result.success
    assert "Pay now" in str(result.error)
    assert pressed(site) == []


async def test_a_firm_one_is_stopped_when_something_comes_under_the_pointer(browser: Machine, site: Site) -> None:  # noqa: F811
    swap = f"<script>addEventListener('mousemove', () => {{ {SWAP} }})</script>"
    await browser.do("open_url", url=site.page(PAGE + swap, "/hover"))
    result = await click(browser, firm=True)
    assert not result.success
    assert result.error is not None
    assert result.error.startswith("The click was stopped")
    assert pressed(site) == []
