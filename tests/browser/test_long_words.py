"""Words of three thousand letters widen no page and push nothing off a table, on a phone, a tablet and a desk."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Open, Site

pytestmark = [pytest.mark.browser]
WORD = "w" * 3000
MARKS = "z" + "\u0301" * 200
WIDTHS = (390, 820, 1280)
ASKS = {"human_in_the_loop": True, "permission_mode": "approval"}


def torn(page: Page) -> str:
    """What makes the page scroll sideways, or stands outside the panel that it is in; "" for nothing."""
    return str(
        page.evaluate("""() => {
        const wide = document.documentElement;
        const out = (e) => e.getBoundingClientRect().right > wide.clientWidth + 1;
        const widest = () => [...document.querySelectorAll("main *")].filter(out).at(-1)?.outerHTML.slice(0, 120);
        if (wide.scrollWidth > wide.clientWidth) return `the page: ${wide.scrollWidth} of ${wide.clientWidth}, ${widest()}`;
        for (const panel of document.querySelectorAll(".panel")) {
            const { right } = panel.getBoundingClientRect();
            for (const part of panel.querySelectorAll("td, th, dd, h2, h3, p, legend, .queue-title")) {
                if (part.closest(".table-scroll, .scroll-x, .sketch, .unseen, svg") || !part.offsetParent) continue;
                if (part.querySelector(".unseen:only-child")) continue;
                const box = part.getBoundingClientRect();
                if (box.width > 1 && box.right > right + 1) return `${part.outerHTML.slice(0, 80)}: ${box.right} of ${right}`;
            }
        }
        return "";
    }""")
    )


@pytest.fixture
def pages(site: Site) -> Iterator[list[str]]:
    """The addresses of pages full of such words."""
    site.clear()
    words = f"{WORD} {MARKS}"
    plain, request = site.waiting(f"{words} [pause]")
    question, asked = site.waiting(f'ask "{WORD}" with the options "{WORD[:1500]}", "No"', agent="playbook")
    opened, tool = site.waiting(f"https://{'a' * 60}.test/{WORD[:1500]} [type:3000] [steps:1]", **ASKS)
    spent, spend = site.waiting(f"{words} [spend] [steps:1]", **ASKS)
    ended = site.start(f"{words} [fail]")
    site.reaches(ended, "failed", "succeeded")
    site.call("POST", f"/approvals/{request}/comment", {"text": words[:3900]})
    site.call("POST", "/permissions", {"tool": "click", "effect": "ask", "note": WORD[:480]})
    site.call("POST", "/secrets", {"name": "W" * 64, "value": "x", "hosts": [f"{'a' * 60}.{'b' * 60}.test"] * 3})
    yield [
        "/", *(f"/?open={each}" for each in (request, asked, tool, spend)), f"/approvals/{asked}", f"/approvals/{tool}",
        "/runs", *(f"/runs/{each}" for each in (plain, question, opened, spent, ended)), f"/runs/{plain}/cancel",
        f"/runs/{ended}?step=1", f"/runs/new?like={plain}", f"/together?id={request}&id={tool}&id={asked}", "/audit", "/ledger",
        "/machines", "/policies", "/approvals/statistics", "/workflows", "/keys", "/webhooks", "/secrets", "/secrets/new",
        *(f"/secrets/{each['id']}" for each in site.call("GET", "/secrets")["data"]),
    ]  # fmt: skip
    for policy in site.call("GET", "/permissions?limit=100")["data"]:
        site.call("DELETE", f"/permissions/{policy['id']}")


def test_no_page_scrolls_sideways(look: Open, pages: list[str]) -> None:
    page = look("owner", "/")
    found = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 844})
        for path in pages:
            page.goto(path)
            if what := torn(page):
                found[f"{width} {path}"] = what
    assert not found, "\n".join(f"{where}: {what}" for where, what in found.items())
