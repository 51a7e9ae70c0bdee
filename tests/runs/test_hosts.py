"""Policies are about the host that the browser goes to, however the agent spells it."""

from typing import cast

import pytest

from machines.drivers.base import Action, Session
from runs.agents import registry
from runs.agents.base import Act, Agent, Context, Decision, Finish
from tests.cast import Api
from tests.runs.driving import begin, data_of, drive_all, show

pytestmark = pytest.mark.django_db


class Opens:
    """An agent that opens one address, and says of its host what it likes."""

    thinks = False

    def __init__(self, url: str) -> None:
        self.url = url

    async def next(self, context: Context, session: Session) -> Decision:
        if context.step_index > 1:
            return Decision(Finish(True, "done"), {})
        return Decision(Act(Action("open_url", {"url": self.url}), host="other.test"), {})


SPELLINGS = [
    "http://shop.test/pay", "http://SHOP.test./", "http://shop.test\\@other.test/", "http://other.test@shop.test/",
    "http://shop。test/",
]  # fmt: skip


@pytest.mark.parametrize("url", SPELLINGS)
def test_a_denied_host_stays_denied_in_every_spelling(test_key: Api, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setitem(registry._AGENTS, "scripted", cast("Agent", Opens(url)))
    test_key.post("/permissions", {"tool": "open_url", "effect": "deny", "host": "shop.test"})
    test_key.post("/permissions", {"tool": "open_url", "effect": "allow", "host": "other.test"})
    machine = test_key.post("/machines", {"display_name": "b", "kind": "browser"}).json()["id"]
    run = begin(test_key, machine_id=machine)["id"]
    drive_all()
    assert show(test_key, run)["status"] == "succeeded"
    assert [(d["host"], d["params"]["url"]) for d in data_of(run, "tool_call")] == [("shop.test", url)]
    assert [d["skipped"] for d in data_of(run, "tool_result")] == [True]
