"""Commands to the page in view, and what is asked of the page as a whole."""

from typing import Any, Protocol

_PAINTED = "new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); setTimeout(done, 250); })"


class Channel(Protocol):
    """Sends one command to the page in view."""

    async def __call__(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]: ...


class PageProblem(Exception):
    """The action cannot be done on this page; the message is for whoever asked for it."""


async def evaluate(send: Channel, expression: str) -> Any:
    """The value of a JavaScript expression, promises awaited."""
    answer = await send(
        "Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True, "userGesture": True}
    )
    if "exceptionDetails" in answer:
        raise PageProblem("The page's script failed.")
    return answer["result"].get("value")


async def painted(send: Channel) -> None:
    """Wait until the page has drawn what the last action changed, at most a quarter of a second."""
    await evaluate(send, _PAINTED)
