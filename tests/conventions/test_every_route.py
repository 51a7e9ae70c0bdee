"""Every route of /v1 with every kind of caller. A new route fails here until it stands in the table."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiKey
from inference.models import Session
from machines.models import Machine
from runs.models import Run
from tests.cast import Api, Cast
from tests.conventions.routes import ROUTES, statuses
from tests.doors import CALLERS, read_table
from tests.pages.conftest import begin_live, machine, request_of  # noqa: F401  fixtures here too

pytestmark = pytest.mark.django_db
# owner, admin, approver, operator, viewer, the owner of another team, nobody signed in, a key without the scope, an agent
TABLE = """
POST   /agents/playbook/parse               200 200 200 200 200 200 401 403 403 {"task":"stop"}
GET    /approvals                           200 200 200 200 200 200 401 403 403
GET    /approvals/{approval_id}             200 200 200 200 200 404 401 403 403
POST   /approvals                           201 201 403 403 403 201 401 403 403 {"kind":"approval","title":"t"}
POST   /approvals/{approval_id}/cancel      409 409 403 403 403 404 401 403 403
PUT    /approvals/{approval_id}/result      409 409 403 403 403 404 401 403 403 {"outcome":"executed"}
GET    /approvals/{approval_id}/events      404 404 404 404 404 404 401 403 403
GET    /approvals/{approval_id}/pictures/{index} 404 404 404 404 404 404 401 403 403
POST   /approvals/{approval_id}/assign      200 200 200 403 403 404 401 403 403 {"assignee":null}
POST   /approvals/{approval_id}/claim       200 200 200 403 403 404 401 403 403
POST   /approvals/{approval_id}/comment     200 200 200 200 200 404 401 403 403 {"text":"t"}
POST   /approvals/{approval_id}/decide      200 200 200 403 403 404 401 403 403 {"verdict":"approve"}
POST   /approvals/{approval_id}/extend      409 409 409 403 403 404 401 403 403 {"seconds":60}
POST   /approvals/{approval_id}/release     200 200 200 403 403 404 401 403 403
POST   /approvals/{approval_id}/undo        409 409 409 403 403 404 401 403 403
GET    /billing/active                      200 200 403 403 403 200 401 403 403
GET    /billing/balance                     200 200 403 403 403 200 401 403 403
GET    /billing/ledger                      200 200 403 403 403 200 401 403 403
POST   /ground                              422 422 403 403 403 422 401 403 403
GET    /health                              200 200 200 200 200 200 200 200 200
GET    /idempotency/{key}                   404 404 404 404 404 404 401 404 403
GET    /keys                                200 200 403 403 403 200 401 403 403
POST   /keys                                200 200 403 403 403 200 401 403 403 {"name":"n"}
DELETE /keys/{key_id}                       200 200 403 403 403 404 401 403 403
GET    /machines                            200 200 200 200 200 200 401 403 403
POST   /machines                            200 200 403 200 403 200 401 403 403 {"display_name":"m","kind":"simulated"}
GET    /machines/{machine_id}               200 200 200 200 200 404 401 403 403
PATCH  /machines/{machine_id}               200 200 403 200 403 404 401 403 403 {"ttl_minutes":60}
DELETE /machines/{machine_id}               200 200 403 200 403 404 401 403 403
POST   /machines/{machine_id}/actions       200 200 403 200 403 404 401 403 403 {"command":"wait","parameters":{"ms":1}}
POST   /machines/{machine_id}/actions/batch 200 200 403 200 403 404 401 403 403 {"steps":[{"command":"wait","parameters":{"ms":1}}]}
GET    /machines/{machine_id}/connection    200 200 403 200 403 404 401 403 403
GET    /machines/{machine_id}/screenshot    200 200 200 200 200 404 401 403 403
POST   /machines/{machine_id}/start         409 409 403 409 403 404 401 403 403
POST   /machines/{machine_id}/stop          200 200 403 200 403 404 401 403 403
GET    /machines/{machine_id}/takeover      404 404 404 404 403 404 401 403 403
POST   /machines/{machine_id}/takeover      200 200 200 200 403 404 401 403 403
POST   /machines/{machine_id}/takeover/heartbeat 409 409 409 409 403 404 401 403 403 {"lease_id":"tko_x"}
POST   /machines/{machine_id}/takeover/release 409 409 409 409 403 404 401 403 403 {"lease_id":"tko_x"}
POST   /machines/{machine_id}/terminal      409 409 403 409 403 404 401 403 403 {"command":"ls"}
POST   /machines/{machine_id}/terminate     200 200 403 200 403 404 401 403 403
GET    /models                              200 200 200 200 200 200 401 200 403
POST   /parse                               200 200 403 403 403 200 401 403 403 {"code":"DONE"}
GET    /permissions                         200 200 200 200 200 200 401 403 403
POST   /permissions                         201 201 403 403 403 201 401 403 403 {"tool":"mail.read"}
GET    /permissions/{policy_id}             200 200 200 200 200 404 401 403 403
PATCH  /permissions/{policy_id}             200 200 200 403 403 404 401 403 403 {"note":"n"}
POST   /permissions/preview                 200 200 200 200 200 200 401 403 403 {"tool":"mail.read"}
DELETE /permissions/{policy_id}             204 204 204 403 403 404 401 403 403
POST   /predict                             422 422 403 403 403 422 401 403 403
GET    /runs                                200 200 200 200 200 200 401 403 403
POST   /runs                                200 200 403 200 403 404 401 403 403 {"task":"x","agent":"scripted","machine_id":"{machine_id}"}
GET    /runs/{run_id}                       200 200 200 200 200 404 401 403 403
POST   /runs/{run_id}/answer                409 409 409 403 403 404 401 403 403 {"request_id":"{approval_id}","answers":{"q1":"a"}}
POST   /runs/{run_id}/approve               200 200 200 403 403 404 401 403 403 {"request_id":"{approval_id}","decision":"allow"}
POST   /runs/{run_id}/cancel                200 200 403 200 403 404 401 403 403
GET    /runs/{run_id}/calls                 200 200 200 200 200 404 401 403 403
GET    /runs/{run_id}/deliveries            200 200 200 200 200 404 401 403 403
GET    /runs/{run_id}/events                200 200 200 200 200 404 401 403 403
GET    /runs/{run_id}/events/stream         200 200 200 200 200 404 401 403 403
PATCH  /runs/{run_id}/permission-mode       200 200 200 403 403 404 401 403 403 {"permission_mode":"autonomous"}
GET    /runs/{run_id}/permissions           200 200 200 200 200 404 401 403 403
POST   /runs/{run_id}/resume                200 200 200 403 403 404 401 403 403
GET    /runs/{run_id}/screenshots           200 200 200 200 200 404 401 403 403
GET    /runs/{run_id}/screenshots/{index}   200 200 200 200 200 404 401 403 403
POST   /runs/{run_id}/signal                200 200 200 403 403 404 401 403 403 {"action":"approve"}
GET    /secrets                             200 200 403 403 403 200 401 403 403
POST   /secrets                             201 201 403 403 403 201 401 403 403 {"name":"n","value":"v","hosts":["a.test"]}
PUT    /secrets/{name}                      200 200 403 403 403 404 401 403 403 {"hosts":["b.test"]}
DELETE /secrets/{name}                      204 204 403 403 403 404 401 403 403
GET    /sessions                            200 200 403 403 403 200 401 403 403
POST   /sessions                            200 200 403 403 403 200 401 403 403
GET    /sessions/{session_id}               200 200 403 403 403 404 401 403 403
DELETE /sessions/{session_id}               200 200 403 403 403 404 401 403 403
POST   /sessions/{session_id}/predict       422 422 403 403 403 404 401 403 403
POST   /sessions/{session_id}/reset         200 200 403 403 403 404 401 403 403
GET    /team                                200 200 200 200 200 200 401 403 403
PATCH  /team                                200 200 403 403 403 200 401 403 403 {"claim_minutes":5}
GET    /stop                                200 200 200 200 200 200 401 403 403
POST   /stop                                200 200 403 200 403 200 401 403 403 {"scope":"team","reason":"x"}
GET    /stop/{stop_id}                      200 200 200 200 200 404 401 403 403
POST   /stop/{stop_id}/lift                 200 200 403 403 403 404 401 403 403
GET    /usage                               200 200 403 403 403 200 401 403 403
GET    /webhooks                            200 200 200 200 200 200 401 403 403
POST   /webhooks                            201 201 403 403 403 201 401 403 403 {"url":"https://93.184.216.34/y","events":["run.failed"]}
GET    /webhooks/{webhook_id}               200 200 200 200 200 404 401 403 403
PATCH  /webhooks/{webhook_id}               200 200 403 403 403 404 401 403 403 {"description":"d"}
DELETE /webhooks/{webhook_id}               204 204 403 403 403 404 401 403 403
GET    /webhooks/{webhook_id}/deliveries    200 200 200 200 200 404 401 403 403
POST   /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver 201 201 403 403 403 404 401 403 403
POST   /webhooks/{webhook_id}/test          200 200 403 403 403 404 401 403 403
GET    /workflows                           200 200 200 200 200 200 401 403 403
POST   /workflows                           200 200 403 200 403 200 401 403 403 {"name":"n","steps":[{"id":"a","type":"fail"}]}
POST   /workflows/validate                  200 200 200 200 200 200 401 403 403 {"steps":[{"id":"a","type":"fail"}]}
GET    /workflows/{workflow_id}             200 200 200 200 200 404 401 403 403
PUT    /workflows/{workflow_id}             200 200 403 200 403 404 401 403 403
DELETE /workflows/{workflow_id}             200 200 403 200 403 404 401 403 403
GET    /workflows/{workflow_id}/versions    200 200 200 200 200 404 401 403 403
GET    /workflows/{workflow_id}/versions/{number} 200 200 200 200 200 404 401 403 403
GET    /workflows/runs                      200 200 200 200 200 200 401 403 403
POST   /workflows/runs                      422 422 403 422 403 422 401 403 403 {"steps":[{"id":"f","type":"fail"}],"agent":"no"}
POST   /workflows/{workflow_id}/runs        200 200 403 200 403 404 401 403 403 {"machine_id":"{machine_id}"}
GET    /workflows/runs/{run_id}             200 200 200 200 200 404 401 403 403
POST   /workflows/runs/{run_id}/answer      409 409 409 403 403 404 401 403 403 {"request_id":"{approval_id}","answers":{"q1":"a"}}
POST   /workflows/runs/{run_id}/approve     200 200 200 403 403 404 401 403 403 {"request_id":"{approval_id}","decision":"allow"}
POST   /workflows/runs/{run_id}/cancel      200 200 403 200 403 404 401 403 403
GET    /workflows/runs/{run_id}/deliveries  200 200 200 200 200 404 401 403 403
GET    /workflows/runs/{run_id}/events      200 200 200 200 200 404 401 403 403
GET    /workflows/runs/{run_id}/events/stream 200 200 200 200 200 404 401 403 403
PATCH  /workflows/runs/{run_id}/permission-mode 200 200 200 403 403 404 401 403 403 {"permission_mode":"autonomous"}
GET    /workflows/runs/{run_id}/permissions 200 200 200 200 200 404 401 403 403
POST   /workflows/runs/{run_id}/resume      200 200 200 403 403 404 401 403 403 {"approved":true}
GET    /workflows/runs/{run_id}/screenshots 200 200 200 200 200 404 401 403 403
GET    /workflows/runs/{run_id}/screenshots/{index} 200 200 200 200 200 404 401 403 403
POST   /workflows/runs/{run_id}/signal      200 200 200 403 403 404 401 403 403 {"action":"approve"}
"""
DOORS = read_table(TABLE)


@pytest.fixture
def things(begin_live: Callable[..., Run], machine: Machine, live: Api) -> dict[str, str]:  # noqa: F811
    """One of everything, in the live world of the team."""
    waiting = begin_live("asks [pause]")
    steps = [{"id": "a", "type": "fail"}]
    idle = live.post("/workflows", {"name": "idle", "steps": steps}).json()["id"]
    hook = live.post("/webhooks", {"url": "https://93.184.216.34/x", "events": ["run.failed"]}).json()["id"]
    session = Session.objects.create(
        team_id=waiting.team_id, test=False, caller="key_x", cua_version="v3", screen_width=1280, screen_height=720,
        max_trajectory_length=3,
        expires_at=timezone.now() + timedelta(minutes=30),
    )  # fmt: skip
    return {
        "session_id": session.id, "run_id": waiting.id, "approval_id": request_of(waiting).id, "machine_id": machine.id, "webhook_id": hook,
        "delivery_id": live.post(f"/webhooks/{hook}/test").json()["id"], "key_id": ApiKey.objects.get().id, "key": "x",
        "name": live.post("/secrets", {"name": "s", "value": "v", "hosts": ["a.test"]}).json()["name"],
        "policy_id": live.post("/permissions", {"tool": "mail.send"}).json()["id"], "index": "0",
        "workflow_id": live.post("/workflows", {"name": "w", "steps": steps}).json()["id"], "number": "1",
        "stop_id": live.post("/stop", {"scope": "workflow", "id": idle, "reason": "r"}).json()["id"],
    }  # fmt: skip


def test_every_route_stands_in_the_table_once() -> None:
    assert sorted(door.name for door in DOORS) == sorted(f"{method} {path}" for method, path, _ in ROUTES)


@pytest.mark.parametrize("who", CALLERS)
def test_each_caller_gets_what_the_table_says(cast: Cast, strangers: Cast, things: dict[str, str], who: str) -> None:
    assert statuses(DOORS, who, cast, strangers, things) == {door.name: door.expected[who] for door in DOORS}
