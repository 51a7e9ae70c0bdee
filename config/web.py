"""How daphne reads a request, before Django hears of it, and what it does with an answer that breaks."""

import functools

from daphne import http_protocol

MOST_BYTES = 26 * 1024 * 1024  # of a body: a little more than anything that is not refused


class Request(http_protocol.WebRequest):  # type: ignore[misc]  # daphne has no types
    """Keeps no more of a body than could be of use: daphne holds all of it in memory, whoever sends it.

    What is left out is read all the same; the application then sees a body that is too large, and says so.
    """

    kept = 0

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802  the name is Twisted's
        super().handleContentChunk(data[: MOST_BYTES - self.kept])
        self.kept = min(MOST_BYTES, self.kept + len(data))

    def handle_exception(self, exception: BaseException) -> None:
        """An answer that broke while it was sent ends in a torn connection, so that nobody takes it for whole.

        daphne would send headers again, fail in that, and never look after its requests any more.
        """
        if not self._response_started:
            super().handle_exception(exception)
        elif self.channel is not None:
            self.channel.forceAbortClient()


def install() -> None:
    """Twisted would read every posted body as the form that its Content-Type says it is, and refuse those that are none."""
    http_protocol.WebRequest = functools.partial(Request, parsePOSTFormSubmission=False)
