"""The two clients: the same calls, for programs with threads and for programs with an event loop."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from countersign import plans
from countersign.plans import About, Fields
from countersign.transport import Server
from countersign.verdict import Verdict


class ActionFields(About, Fields, total=False):
    """All that approve() takes beside the action: About and Fields."""


def parted(more: Mapping[str, Any]) -> tuple[About, Fields]:
    """What is said of the action, and what is said beside it."""
    about = {name: value for name, value in more.items() if name in About.__annotations__}
    fields = {name: value for name, value in more.items() if name not in about}
    return About(**about), Fields(**fields)  # type: ignore[typeddict-item]


class Client:
    """Asks people, and waits with the thread that calls. Safe to share between threads.

    Without arguments the server is COUNTERSIGN_URL and the key COUNTERSIGN_API_KEY of the environment. Every call raises
    Refused or Unreachable; both are CountersignError.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self.server = Server.named(url, key)

    def approve(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        title: str | None = None,
        wait: float | None = None,
        **more: Unpack[ActionFields],
    ) -> Verdict:
        """May this action run? Act with `verdict.params`, and only if the verdict is true. Raises ActionChanged.

        `wait`: seconds to wait here at most (None: as long as it takes); the request stays open after that.
        `timeout_seconds`: how long people have. `external_id`: asked again under the same name it is the same request.
        """
        about, fields = parted(more)
        return self.server.run(plans.asked(plans.action_body(name, params, title, about, fields), wait))

    def ask(
        self, question: str, options: Sequence[str] = (), *, wait: float | None = None, **fields: Unpack[Fields]
    ) -> Verdict:
        """`verdict.answer` is an option or what somebody wrote."""
        return self.server.run(plans.asked(plans.question_body(question, options, fields), wait))

    def open(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Opens a request with a body of your own (docs/api/approvals.md section 13) and does not wait."""
        return self.server.run(plans.opened(body))

    def decided(self, approval: Mapping[str, Any], wait: float | None = None) -> Verdict:
        """Waits for a request that open() gave. Raises ActionChanged."""
        return self.server.run(plans.decided(approval, wait))

    def wait(self, approval_id: str, wait: float | None = None) -> Verdict:
        """Goes on waiting for a request of which the id was kept."""
        return self.server.run(plans.waited(approval_id, wait))

    def get(self, approval_id: str) -> Verdict:
        """The request as it is now."""
        return Verdict(self.server.run(plans.fetched(approval_id)))

    def cancel(self, approval_id: str, reason: str | None = None) -> Verdict:
        return Verdict(self.server.run(plans.cancelled(approval_id, reason)))

    def report(self, approval_id: str, outcome: str, text: str | None = None) -> Verdict:
        """Says once what became of it: executed, skipped or failed."""
        return Verdict(self.server.run(plans.reported(approval_id, outcome, text)))

    def queue(self, **filters: Any) -> list[dict[str, Any]]:
        """What waits for people, or what the filters of GET /v1/approvals leave."""
        return self.server.run(plans.listed("approvals", filters))

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        return self.server.run(plans.listed("runs", filters))

    def start_run(self, task: str, **fields: Any) -> dict[str, Any]:
        return self.server.run(plans.run_started({"task": task, **fields}))

    def get_run(self, run_id: str) -> dict[str, Any]:
        return self.server.run(plans.run_fetched(run_id))

    def cancel_run(self, run_id: str) -> dict[str, Any]:
        return self.server.run(plans.run_cancelled(run_id))


class AsyncClient:
    """As Client, for an event loop: a wait holds a connection and no thread, and ends when its task is cancelled."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        self.server = Server.named(url, key)

    async def approve(
        self,
        name: str,
        params: Mapping[str, Any],
        *,
        title: str | None = None,
        wait: float | None = None,
        **more: Unpack[ActionFields],
    ) -> Verdict:
        """See Client.approve()."""
        about, fields = parted(more)
        return await self.server.arun(plans.asked(plans.action_body(name, params, title, about, fields), wait))

    async def ask(
        self, question: str, options: Sequence[str] = (), *, wait: float | None = None, **fields: Unpack[Fields]
    ) -> Verdict:
        """See Client.ask()."""
        return await self.server.arun(plans.asked(plans.question_body(question, options, fields), wait))

    async def open(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self.server.arun(plans.opened(body))

    async def decided(self, approval: Mapping[str, Any], wait: float | None = None) -> Verdict:
        return await self.server.arun(plans.decided(approval, wait))

    async def wait(self, approval_id: str, wait: float | None = None) -> Verdict:
        return await self.server.arun(plans.waited(approval_id, wait))

    async def get(self, approval_id: str) -> Verdict:
        return Verdict(await self.server.arun(plans.fetched(approval_id)))

    async def cancel(self, approval_id: str, reason: str | None = None) -> Verdict:
        return Verdict(await self.server.arun(plans.cancelled(approval_id, reason)))

    async def report(self, approval_id: str, outcome: str, text: str | None = None) -> Verdict:
        return Verdict(await self.server.arun(plans.reported(approval_id, outcome, text)))
