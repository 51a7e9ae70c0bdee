"""Every page with every kind of caller: who may see it, who is refused, and what a stranger finds. A new page fails here
until it stands in the table. A key or an agent's credential opens no page: they find what nobody signed in finds."""

import re
from collections.abc import Callable, Iterator

import pytest
from django.urls import URLPattern, URLResolver, resolve

from accounts.actor import SCOPES
from accounts.invitations.services import invite
from accounts.models import ApiKey
from approvals.mail.signed_links import link
from config import page_urls
from inference.profiles.services import create_profile
from machines.models import Machine
from runs.models import Run
from tests.cast import Cast
from tests.doors import CALLERS, client_of, credential, filled_in, read_table, without_trace
from tests.inference.conftest import VALUES
from tests.pages.conftest import request_of, text
from tests.pages.reading import read
from tests.people.conftest import group
from workflows.definition.examples import examples
from workflows.runs.running import begin as begin_flow

pytestmark = pytest.mark.django_db
# owner, admin, approver, operator, viewer, the owner of another team, nobody signed in, a key, an agent
TABLE = """
GET  /                                    200 200 200 200 200 200 302 302 302
GET  /?kind=approval&who=mine             200 200 200 200 200 200 302 302 302
GET  /?open={approval}                    200 200 200 200 200 200 302 302 302
GET  /approvals/apr_none                  404 404 404 404 404 404 302 302 302
GET  /approvals/{approval}                200 200 200 200 200 404 302 302 302
POST /approvals/{approval}/assign         302 302 302 403 403 404 302 302 302 assignee={person}
POST /approvals/{approval}/claim          302 302 302 403 403 404 302 302 302
POST /approvals/{approval}/comment        302 302 302 302 302 404 302 302 302 text=hi
POST /approvals/{approval}/decide         302 302 302 302 302 404 302 302 302 verdict=approve
POST /approvals/{approval}/extend         302 302 302 403 403 404 302 302 302 seconds=60
GET  /approvals/{approval}/pictures/2       200 200 200 200 200 404 302 302 302
GET  /approvals/{approval}/pictures/9999    404 404 404 404 404 404 302 302 302
POST /approvals/{approval}/release        302 302 302 403 403 404 302 302 302
POST /approvals/{approval}/undo           302 302 302 403 403 302 302 302 302
GET  /audit                               200 200 200 200 200 200 302 302 302
GET  /audit/export.csv                    200 200 200 200 200 200 302 302 302
GET  /audit/export.json                   200 200 200 200 200 200 302 302 302
GET  /d/{link}                            200 200 200 200 200 404 302 302 302
POST /d/{link}                            302 302 302 403 403 404 302 302 302 verdict=approve
GET  /d/{link}/pictures/2                  200 200 200 200 200 404 302 302 302
GET  /groups                              200 200 200 200 200 200 302 302 302
GET  /groups/new                          200 200 403 403 403 200 302 302 302
POST /groups/new                          422 422 403 403 403 422 302 302 302
GET  /groups/{group}                      200 200 200 200 200 404 302 302 302
POST /groups/{group}/add                  302 302 403 403 403 404 302 302 302 user={person}
GET  /groups/{group}/delete               200 200 403 403 403 404 302 302 302
POST /groups/{group}/delete               302 302 403 403 403 404 302 302 302
GET  /groups/{group}/edit                 200 200 403 403 403 404 302 302 302
POST /groups/{group}/edit                 422 422 403 403 403 404 302 302 302
POST /groups/{group}/take-out             302 302 403 403 403 404 302 302 302 user={person}
POST /invitations/{invitation}/again      200 200 403 403 403 404 302 302 302
POST /invitations/{invitation}/revoke     302 302 403 403 403 404 302 302 302
GET  /join/{token}                        200 200 200 200 200 200 200 200 200
POST /join/{token}                        403 403 403 403 403 403 302 302 302 name=E&password=quite+a+long+password
GET  /keys                                200 200 403 403 403 200 302 302 302
GET  /keys/new                            200 200 403 403 403 200 302 302 302
POST /keys/new                            422 422 403 403 403 422 302 302 302
GET  /keys/{key}/revoke                   200 200 403 403 403 404 302 302 302
POST /keys/{key}/revoke                   302 302 403 403 403 404 302 302 302
GET  /ledger                              200 200 403 403 403 200 302 302 302
GET  /ledger?run={run}                    200 200 403 403 403 200 302 302 302
POST /ledger/top-up                       302 302 403 403 403 302 302 302 302 amount=1&reference=r
GET  /machines                            200 200 200 200 200 200 302 302 302
GET  /machines/new                        200 200 403 200 403 200 302 302 302
POST /machines/new                        302 302 403 302 403 302 302 302 302 display_name=m&kind=simulated
POST /machines/{machine}/control          302 302 302 302 403 404 302 302 302
POST /machines/{machine}/control/act      302 302 302 302 403 404 302 302 302 text=x
POST /machines/{machine}/control/give-back 302 302 302 302 403 404 302 302 302
POST /machines/{machine}/look             302 302 302 302 302 404 302 302 302
GET  /machines/{machine}/picture.png      404 404 404 404 404 404 302 302 302
GET  /machines/{machine}/screen           200 200 200 200 200 404 302 302 302
GET  /machines/{machine}/screen.png       200 200 200 200 200 404 302 302 302
POST /machines/{machine}/start            302 302 403 302 403 404 302 302 302
POST /machines/{machine}/stop             302 302 403 302 403 404 302 302 302
GET  /machines/{machine}/terminate        200 200 403 200 403 404 302 302 302
POST /machines/{machine}/terminate        302 302 403 302 403 404 302 302 302
GET  /members                             200 200 200 200 200 200 302 302 302
GET  /members/invite                      200 200 403 403 403 200 302 302 302
POST /members/invite                      422 422 403 403 403 422 302 302 302
GET  /members/{person}/remove             200 200 403 403 403 404 302 302 302
POST /members/{person}/remove             302 302 403 403 403 404 302 302 302
GET  /members/{person}/roles              200 200 403 403 403 404 302 302 302
POST /members/{person}/roles              422 422 403 403 403 404 302 302 302
GET  /models                              200 403 403 403 403 403 302 302 302
GET  /models/new                          200 403 403 403 403 403 302 302 302
GET  /models/new?wire=compatible          200 403 403 403 403 403 302 302 302
POST /models/new?wire=compatible          422 403 403 403 403 403 302 302 302
GET  /models/targets.png                  200 403 403 403 403 403 302 302 302
GET  /models/{model}                      200 403 403 403 403 403 302 302 302
GET  /models/mdl_none                     404 403 403 403 403 403 302 302 302
GET  /models/{model}/edit                 200 403 403 403 403 403 302 302 302
POST /models/{model}/edit                 422 403 403 403 403 403 302 302 302
POST /models/{model}/test                 302 403 403 403 403 403 302 302 302
GET  /models/{model}/default              200 403 403 403 403 403 302 302 302
POST /models/{model}/default              302 403 403 403 403 403 302 302 302 anyway=yes
POST /models/{model}/no-default           302 403 403 403 403 403 302 302 302
POST /models/{model}/switch               302 403 403 403 403 403 302 302 302 on=true
GET  /models/{model}/delete               200 403 403 403 403 403 302 302 302
POST /models/{model}/delete               302 403 403 403 403 403 302 302 302
GET  /notifications                       200 200 200 200 200 200 302 302 302
POST /notifications                       302 302 302 302 302 302 302 302 302
GET  /approvals/statistics                200 200 200 200 200 200 302 302 302
GET  /approvals/statistics?days=7         200 200 200 200 200 200 302 302 302
GET  /policies                            200 200 200 200 200 200 302 302 302
GET  /policies/new                        200 200 200 403 403 200 302 302 302
POST /policies/new                        422 422 422 403 403 422 302 302 302
GET  /policies/{policy}                   200 200 200 200 200 404 302 302 302
GET  /policies/{policy}/edit              200 200 200 403 403 404 302 302 302
POST /policies/{policy}/edit              302 302 302 403 403 404 302 302 302 effect=deny
GET  /policies/{policy}/revoke            200 200 403 403 403 404 302 302 302
POST /policies/{policy}/revoke            302 302 403 403 403 404 302 302 302
GET  /profile                             200 200 200 200 200 200 302 302 302
POST /profile/name                        302 302 302 302 302 302 302 302 302 name=N
POST /profile/password                    422 422 422 422 422 422 302 302 302
GET  /runs                                200 200 200 200 200 200 302 302 302
GET  /runs?status=failed&q=x              200 200 200 200 200 200 302 302 302
GET  /runs/new                            200 200 403 200 403 200 302 302 302
POST /runs/new                            302 302 403 302 403 422 302 302 302 task=x&machine_id={machine}&agent=scripted
POST /runs/new/reading                    200 200 403 200 403 200 302 302 302 task=x
POST /runs/new/machine                    200 200 403 200 403 200 302 302 302 task=x
POST /runs/sample                         302 302 403 302 403 302 302 302 302
GET  /runs/{ended}                        200 200 200 200 200 404 302 302 302
GET  /runs/{run}                          200 200 200 200 200 404 302 302 302
GET  /runs/{run}?step=1&phase=before      200 200 200 200 200 404 302 302 302
GET  /runs/{run}/cancel                   200 200 403 200 403 404 302 302 302
POST /runs/{run}/control                  302 302 302 302 403 404 302 302 302
POST /runs/{run}/cancel                   302 302 403 302 403 404 302 302 302
GET  /runs/wfr_{flow}                     200 200 200 200 200 404 302 302 302
GET  /runs/wfr_{flow}?open={approval}     200 200 200 200 200 404 302 302 302
GET  /runs/wfr_{flow}/again               200 200 403 200 403 404 302 302 302
POST /runs/wfr_{flow}/again               302 302 403 302 403 404 302 302 302
GET  /runs/wfr_{flow}/cancel              200 200 403 200 403 404 302 302 302
GET  /runs/{run}/screen                   302 302 302 302 302 404 302 302 302
GET  /runs/{run}/looks/0.png              404 404 404 404 404 404 302 302 302
GET  /runs/{run}/screenshots/0.png        200 200 200 200 200 404 302 302 302
GET  /runs/{run}/screenshots/999.png      404 404 404 404 404 404 302 302 302
GET  /secrets                             200 200 403 403 403 200 302 302 302
GET  /secrets/new                         200 200 403 403 403 200 302 302 302
POST /secrets/new                         422 422 403 403 403 422 302 302 302
GET  /secrets/{secret}                    200 200 403 403 403 404 302 302 302
GET  /secrets/{secret}/delete             200 200 403 403 403 404 302 302 302
POST /secrets/{secret}/delete             302 302 403 403 403 404 302 302 302
GET  /secrets/{secret}/edit               200 200 403 403 403 404 302 302 302
POST /secrets/{secret}/edit               422 422 403 403 403 404 302 302 302
GET  /screen                              200 200 200 200 200 200 200 200 200
GET  /sign-in                             302 302 302 302 302 302 200 200 200
POST /sign-in                             302 302 302 302 302 302 422 422 422
POST /sign-out                            302 302 302 302 302 302 302 302 302
GET  /stops                               200 200 200 200 200 200 302 302 302
GET  /stops/new                           200 200 403 200 403 200 302 302 302
POST /stops/new                           302 302 403 302 403 302 302 302 302 what=team&reason=x
GET  /stops/{stop}/lift                   200 200 403 403 403 404 302 302 302
POST /stops/{stop}/lift                   302 302 403 403 403 404 302 302 302
POST /switch                              302 302 302 302 302 302 302 302 302 mode=test
POST /theme                               302 302 302 302 302 302 302 302 302 theme=dark
GET  /together                            302 302 302 403 403 302 302 302 302
POST /together                            302 302 302 403 403 302 302 302 302 ids={approval}
GET  /webhooks                            200 200 200 200 200 200 302 302 302
GET  /webhooks/new                        200 200 403 403 403 200 302 302 302
POST /webhooks/new                        422 422 403 403 403 422 302 302 302
GET  /webhooks/{webhook}                  200 200 200 200 200 404 302 302 302
GET  /webhooks/{webhook}/delete           200 200 403 403 403 404 302 302 302
POST /webhooks/{webhook}/delete           302 302 403 403 403 404 302 302 302
POST /webhooks/{webhook}/deliveries/{delivery}/redeliver 302 302 403 403 403 404 302 302 302
GET  /webhooks/{webhook}/edit             200 200 403 403 403 404 302 302 302
POST /webhooks/{webhook}/edit             422 422 403 403 403 404 302 302 302
GET  /webhooks/{webhook}/rotate           200 200 403 403 403 404 302 302 302
POST /webhooks/{webhook}/rotate           200 200 403 403 403 404 302 302 302
POST /webhooks/{webhook}/switch           302 302 403 403 403 404 302 302 302 active=true
POST /webhooks/{webhook}/test             302 302 403 403 403 404 302 302 302
GET  /workflows                           200 200 200 200 200 200 302 302 302
GET  /workflows?status=all                200 200 200 200 200 200 302 302 302
POST /workflows/check                     302 302 403 302 403 302 302 302 302 definition={}
GET  /workflows/new                       200 200 403 200 403 200 302 302 302
GET  /workflows/new?example=budget        200 200 403 200 403 200 302 302 302
POST /workflows/new                       422 422 403 422 403 422 302 302 302
GET  /workflows/{workflow}                200 200 200 200 200 404 302 302 302
GET  /workflows/{workflow}/diff           200 200 200 200 200 404 302 302 302
GET  /workflows/{workflow}/diff?from=7    404 404 404 404 404 404 302 302 302
GET  /workflows/{workflow}/edit           200 200 403 200 403 404 302 302 302
GET  /workflows/{workflow}/edit?from=1    200 200 403 200 403 404 302 302 302
POST /workflows/{workflow}/edit           422 422 403 422 403 404 302 302 302
POST /workflows/{workflow}/status         302 302 403 302 403 404 302 302 302 status=archived
GET  /workflows/{workflow}/run            200 200 403 200 403 404 302 302 302
GET  /workflows/{workflow}/run?version=9  404 404 403 404 403 404 302 302 302
POST /workflows/{workflow}/run            422 422 403 422 403 404 302 302 302
GET  /workflows/{workflow}/versions/1     200 200 200 200 200 404 302 302 302
GET  /workflows/{workflow}/versions/9     404 404 404 404 404 404 302 302 302
"""
DOORS = read_table(TABLE)
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def places(cast: Cast, begin_live: Callable[..., Run], machine: Machine) -> dict[str, str]:
    """One of everything, in the live world of the team."""
    ended, waiting, live = begin_live("done [fail]"), begin_live("asks [pause]"), cast.api()
    hook = live.post("/webhooks", {"url": "https://93.184.216.34/x", "events": ["run.failed"]}).json()["id"]
    policy = live.post("/permissions", {"tool": "mail.send", "effect": "ask"}).json()["id"]
    invited = invite(cast.actor(), "erik@outside.test", ["viewer"], [], "http://x")
    asks = {"name": "asks", "steps": [{"id": "ok", "type": "human_approval"}]}
    flow = live.post("/workflows/runs", asks).json()["id"]
    idle = live.post("/workflows", asks | {"name": "idle"}).json()["id"]
    begin_flow(flow)
    return {
        "flow": flow.removeprefix("wfr_"), "run": waiting.id, "ended": ended.id, "approval": request_of(waiting).id, "machine": machine.id,
        "workflow": live.post("/workflows", examples()["test-and-report"]).json()["id"],
        "key": ApiKey.objects.get().id, "person": cast.people["bob"].id, "group": group(cast, "Finance").id,
        "webhook": hook, "delivery": live.post(f"/webhooks/{hook}/test").json()["id"], "token": invited.token,
        "invitation": invited.row.id, "policy": policy, "model": create_profile(cast.actor(), VALUES).id,
        "secret": live.post("/secrets", {"name": "s", "value": "v", "hosts": ["a.test"]}).json()["id"],
        "stop": live.post("/stop", {"scope": "workflow", "id": idle, "reason": "r"}).json()["id"],
        "link": link(request_of(waiting), cast.people["ana"].id).rpartition("/")[2],
    }  # fmt: skip


def routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for each in patterns:
        if isinstance(each, URLResolver):
            yield from routes(each.url_patterns, before + str(each.pattern))
        else:
            yield before + str(each.pattern)


def route_of(path: str) -> str:
    return resolve(re.sub(r"{\w+}", "x", path).partition("?")[0]).route


def test_every_page_stands_in_the_table() -> None:
    listed = {route_of(door.path) for door in DOORS}
    assert listed == set(routes(page_urls.urlpatterns))


PARTS = ("/runs/new/reading",)  # of a page, for a page that is open


@pytest.mark.parametrize("who", CALLERS)
def test_each_caller_gets_what_the_table_says(cast: Cast, strangers: Cast, places: dict[str, str], who: str) -> None:
    client, sent = client_of(who, cast, strangers), credential(who, cast, frozenset(SCOPES))
    found = {}
    for door in DOORS:
        with without_trace(client):
            path, body = filled_in(door.path, places), filled_in(door.body, places)
            answer = client.generic(door.method, path, body, content_type=FORM, headers=sent)
        found[door.name] = answer.status_code
        if not answer.streaming and answer.content and answer["Content-Type"].startswith("text/html"):
            page = read(text(answer))
            assert page.headings.count("h1") == (door.path not in PARTS or answer.status_code != 200), door.name
            assert not page.twice(), door.name
            assert not page.nameless_controls(), door.name
            assert page.inline + page.foreign == [], door.name
            assert all(image.get("alt") for image in page.images), door.name
    assert found == {door.name: door.expected[who] for door in DOORS}


@pytest.mark.parametrize("who", ["owner", "out"])
def test_a_page_takes_only_the_methods_of_the_table(
    cast: Cast, strangers: Cast, places: dict[str, str], who: str
) -> None:
    client, taken = client_of(who, cast, strangers), {(door.method, route_of(door.path)) for door in DOORS}
    others = [(m, d.path) for d in DOORS for m in ("GET", "POST") if (m, route_of(d.path)) not in taken]
    for method, path in others:
        answer = client.generic(method, filled_in(path, places), b"", content_type=FORM)
        assert answer.status_code == 405, (method, path)
