"""The ways from one page to another: an address, the page before, the same page anew."""

from collections.abc import Awaitable, Callable
from typing import Any

from machines.drivers.browser.page.channel import Channel, PageProblem
from machines.drivers.web_host import web_host

ACTIONS = frozenset({"open_url", "go_back", "reload"})
NOT_REACHED = "The site cannot be reached, or machines may not go there."

Ask = Callable[..., Awaitable[dict[str, Any]]]


async def dismissed(ask: Ask) -> str | None:
    """Close a dialog that was left open: a page that is left under one hangs for good. What is to be said of it."""
    if not (await ask("page")).get("dialog"):
        return None
    words = (await ask("dismiss", 30)).get("dismissed")
    closed = ", ".join(f'"{str(one)[:500]}"' for one in words) if isinstance(words, list) else ""
    return f"A dialog was open and was dismissed first: {closed}." if closed else None


async def open_url(send: Channel, url: str) -> dict[str, Any]:
    if not url.lower().startswith(("http://", "https://")):
        raise PageProblem("Only http:// and https:// addresses can be opened.")
    if web_host(url) is None:
        raise PageProblem("The host of this address is not written plainly.")
    error = (await send("Page.navigate", {"url": url})).get("errorText")
    if error == "net::ERR_ABORTED":
        return {"note": "The address did not lead to a page; a download may have begun."}
    if error == "net::ERR_TUNNEL_CONNECTION_FAILED":
        raise PageProblem(NOT_REACHED)
    if error:
        raise PageProblem(f"The page could not be opened ({error}).")
    return {}


async def go_back(send: Channel) -> dict[str, Any]:
    """To the page before this one. The empty page that a tab begins with is none."""
    history = await send("Page.getNavigationHistory")
    before = [one for one in history["entries"][: history["currentIndex"]] if one["url"] != "about:blank"]
    if not before:
        raise PageProblem("There is no page to go back to.")
    await send("Page.navigateToHistoryEntry", {"entryId": before[-1]["id"]})
    return {}


async def reload(send: Channel, *, posted: bool) -> dict[str, Any]:
    """A browser would ask a person whether to send a form twice; DevTools just sends it."""
    if posted:
        raise PageProblem("This page is the answer to a form: to load it again would send the form again.")
    await send("Page.reload")
    return {}
