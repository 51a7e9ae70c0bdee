"""What lies under an action decides what it is called, how risky it is and what an approval of it holds for (docs/risks.md)."""

from typing import Any

import pytest

from approvals.models import Approval
from machines.drivers.base import Action, Target
from machines.drivers.simulated import SimulatedSession
from tests.cast import Api
from tests.runs.driving import begin, data_of, drive_all, request_of, show, status_of, waiting

pytestmark = pytest.mark.django_db
ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}
PAY = Target("button", "Pay now", "submit", "Checkout")


@pytest.fixture
def under(monkeypatch: pytest.MonkeyPatch) -> dict[str, Target | None]:
    """What the simulated browser says lies under every action."""
    seen: dict[str, Target | None] = {"target": PAY}

    async def target(self: SimulatedSession, action: Action) -> Target | None:
        return seen["target"]

    monkeypatch.setattr(SimulatedSession, "target", target)
    return seen


def browser(api: Api) -> str:
    return str(api.post("/machines", {"display_name": "b", "kind": "browser"}).json()["id"])


def test_the_title_says_what_is_pressed_and_what_that_does(test_key: Api, under: dict[str, Target | None]) -> None:
    run = waiting(test_key, "x [steps:1]", machine_id=browser(test_key), **ASKING)
    asked = request_of(test_key, run)
    assert asked["title"] == 'Click button "Pay now" (spends money)'
    assert asked["action"]["risk"] == "spend"
    assert asked["action"]["target"] == {"role": "button", "name": "Pay now", "kind": "submit", "form": "Checkout"}
    assert asked["can_remember"] is False  # the floor asked, not the mode alone
    test_key.post(f"/approvals/{asked['id']}/decide", {"verdict": "approve"})
    drive_all()
    (call,) = data_of(run["id"], "tool_call")
    assert (call["risk"], call["target"]["name"]) == ("spend", "Pay now")
    assert status_of(run["id"]) == "succeeded"


def test_the_floor_holds_in_the_modes_that_the_team_names(
    test_key: Api, live: Api, under: dict[str, Target | None]
) -> None:
    machine = browser(test_key)
    free = begin(test_key, "x [steps:1]", machine_id=machine)
    drive_all()
    assert show(test_key, free["id"])["status"] == "succeeded"
    live.patch("/team", {"risk_floor_modes": ["autonomous"]})
    run = waiting(test_key, "x [steps:1]", machine_id=machine)
    assert request_of(test_key, run)["message"] == "The team asks before every action of risk spend."
    under["target"] = Target("button", "Next")
    calm = begin(test_key, "x [steps:1]", machine_id=browser(test_key))
    drive_all()
    assert show(test_key, calm["id"])["status"] == "succeeded"


def test_an_agent_raises_and_never_lowers(test_key: Api, under: dict[str, Target | None]) -> None:
    machine = browser(test_key)
    under["target"] = Target("button", "Next")
    run = waiting(test_key, "x [steps:1][spend]", machine_id=machine, **ASKING)
    assert request_of(test_key, run)["action"]["risk"] == "spend"
    under["target"] = Target("button", "Delete account")
    run = waiting(test_key, "x [steps:1][spend]", machine_id=browser(test_key), **ASKING)
    assert request_of(test_key, run)["action"]["risk"] == "destroy"


@pytest.mark.parametrize(
    ("shown", "now"),
    [
        (PAY, Target("button", "Delete")),
        (PAY, Target("link", "Pay now")),
        (PAY, None),
        (Target("button", "Pay 10 EUR"), Target("button", "Pay 9999 EUR")),
        (Target("button", "Delete 3 items (0:59)"), Target("button", "Delete 4 items (0:07)")),
        (Target("button", "OK", "submit", "Send 5 to Ana"), Target("button", "OK", "submit", "Send 5 to Eve")),
        (Target("button", "OK", "submit", "Send 5 to Ana"), Target("button", "OK", "submit", "Send 500 to Ana")),
    ],
)
def test_an_approval_is_void_when_something_else_lies_there(
    test_key: Api, under: dict[str, Target | None], shown: Target, now: Target | None
) -> None:
    under["target"] = shown
    run = waiting(test_key, "x [steps:1]", machine_id=browser(test_key), **ASKING)
    old = Approval.objects.get(run_id=run["id"])
    under["target"] = now
    test_key.post(f"/approvals/{old.id}/decide", {"verdict": "approve"})
    drive_all()
    old.refresh_from_db()
    assert (old.status, old.void_reason) == ("void", "action_changed")
    assert data_of(run["id"], "tool_call") == []
    assert request_of(test_key, run)["previous_approval_id"] == old.id


@pytest.mark.parametrize(
    ("shown", "now"),
    [
        (Target("button", "Offer ends in 0:59"), Target("button", "Offer ends in 0:07")),
        (Target("button", "Inbox (3)"), Target("button", "Inbox (4)")),
        (
            Target("button", "Pay now (12 s)", form="Ends in 14:59"),
            Target("button", "Pay now (9 s)", form="Ends in 9:07"),
        ),
    ],
)
def test_a_count_in_a_name_may_go_on(
    test_key: Api, under: dict[str, Target | None], shown: Target, now: Target
) -> None:
    under["target"] = shown
    run = waiting(test_key, "x [steps:1]", machine_id=browser(test_key), **ASKING)
    under["target"] = now
    test_key.post(f"/runs/{run['id']}/resume", {})
    drive_all()
    assert status_of(run["id"]) == "succeeded"


def test_a_long_or_torn_name_is_one_line_of_a_title(test_key: Api, under: dict[str, Target | None]) -> None:
    under["target"] = Target("button", "Go\n\n" + "x" * 500)
    run = waiting(test_key, "x [steps:1]", machine_id=browser(test_key), **ASKING)
    title = request_of(test_key, run)["title"]
    assert title.startswith('Click button "Go xxx')
    assert title.endswith('…"')
    assert len(title) < 160
