"""A starter whom the team's rules bind: Alice operates and approves, and may not loosen. Ana approves, Adam administers."""

from typing import Any

from accounts.actor import LIVE_DEFAULT, SCOPES, scopes_of_roles
from accounts.models import Membership
from tests.cast import Api, Cast
from tests.runs.driving import drive_all

ASKING: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "approval"}
WITHOUT = frozenset(SCOPES) - {"policies:write", "team:write", "keys"}


def binds(cast: Cast) -> None:
    """Alice is operator and approver; her keys and her sessions are one person."""
    Membership.objects.filter(user=cast.people["alice"]).update(roles=["operator", "approver"])


def starter(cast: Cast, *, test: bool = True) -> Api:
    """A key of Alice's, with all that is hers."""
    binds(cast)
    scopes = scopes_of_roles(["operator", "approver"]) | LIVE_DEFAULT
    return cast.api(test=test, owner="alice", scopes=scopes - {"policies:write"})


def decider(cast: Cast, *, test: bool = True) -> Api:
    """A key of Ana's: not the starter, and no loosening either."""
    return cast.api(test=test, owner="ana", scopes=WITHOUT)


def admin(cast: Cast, *, test: bool = True) -> Api:
    return cast.api(test=test, owner="adam")


def ran(api: Api, task: str = "x [steps:1]", **more: Any) -> dict[str, Any]:
    """A run as it stands once nothing can go on."""
    answer = api.post("/runs", {"task": task, **more})
    assert answer.status_code == 200, answer.content
    drive_all()
    run: dict[str, Any] = api.get(f"/runs/{answer.json()['id']}").json()
    return run


def policy_of(api: Api, **body: Any) -> str:
    answer = api.post("/permissions", body)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def refusal(answer: Any) -> tuple[int, str]:
    body = answer.json() if answer.content else {}
    return answer.status_code, body.get("error", {}).get("code", "")


def decide(api: Api, approval_id: str, verdict: str = "approve", **more: Any) -> dict[str, Any]:
    answer = api.post(f"/approvals/{approval_id}/decide", {"verdict": verdict, **more})
    assert answer.status_code == 200, answer.content
    drive_all()
    result: dict[str, Any] = answer.json()
    return result
