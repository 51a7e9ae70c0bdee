"""Sessions (docs/api/machines-and-inference.md section 4)."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from billing.access import held
from config.clock import CHORES
from inference.errors import ModelBusy
from inference.models import Call, Profile, Session, SessionPicture
from inference.sessions import services
from inference.wires.base import Check, Thought, Wanted
from tests.cast import Api, Cast
from tests.conventions.conftest import locs, only, refused
from tests.inference.shots import answering, png, shot
from tests.inference.wire import click, says

pytestmark = pytest.mark.django_db
SECONDS = 10
COLOURS = ("red", "green", "blue", "white", "black", "grey", "pink")


def created(api: Api, **more: Any) -> str:
    answer = api.post("/sessions", more)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["session_id"])


def body(n: int = 0, **more: Any) -> dict[str, Any]:
    return {"screenshot": shot(colour=COLOURS[n]), "instruction": f"Do {n}"} | more


def predicted(api: Api, session: str, n: int = 0) -> dict[str, Any]:
    answer = api.post(f"/sessions/{session}/predict", body(n))
    assert answer.status_code == 200, answer.content
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize("kind", ["live", "test"])
def test_its_life(cast: Cast, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    answering(monkeypatch, click(640, 360))
    api = cast.api(test=kind == "test")
    made = api.post("/sessions", {"screen_width": 1280, "screen_height": 720, "metadata": {"for": "us", "n": 1}})
    found = made.json()
    assert found.keys() == {"session_id", "screen_size", "created_at", "expires_at", "usage", "request_id"}
    assert found["session_id"].startswith("sess_")
    assert found["screen_size"] == "1280x720"
    assert found["usage"] | {"credits_charged": 10, "cost_cents": 10, "billed": kind == "live"} == found["usage"]
    session = found["session_id"]
    one, two = predicted(api, session), predicted(api, session, 1)
    assert (one["session_id"], one["step"], two["step"]) == (session, 1, 2)
    assert one.keys() == {"session_id", "step", "status", "reasoning", "actions", "usage", "request_id"}
    assert (one["usage"]["cost_cents"], two["usage"]["cost_cents"]) == (4, 6)
    row = api.get(f"/sessions/{session}").json()
    assert row.pop("request_id")
    assert row.keys() == {"session_id", "step_count", "total_credits_used", "created_at", "expires_at"}
    assert (row["step_count"], row["total_credits_used"]) == (2, 20)
    assert api.get("/sessions").json()["data"] == [row]
    answer = api.post(f"/sessions/{session}/reset").json()
    assert (answer["status"], answer["session_id"]) == ("ok", session)
    assert predicted(api, session)["step"] == 1
    assert api.delete(f"/sessions/{session}").json()["status"] == "ok"
    assert not SessionPicture.objects.exists()
    for call in (
        api.get(f"/sessions/{session}"), api.delete(f"/sessions/{session}"), api.post(f"/sessions/{session}/reset"),
        api.post(f"/sessions/{session}/predict", body()), api.post("/sessions/sess_none/predict", {}),
    ):  # fmt: skip
        refused(call, 404, "SESSION_NOT_FOUND")
    assert api.get("/sessions").json()["data"] == []


def test_the_log_only_grows_and_ends_with_its_window(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Vendors bind thoughts to all that came before: what was sent once is sent again as it was. When more pictures would be
    in it than the window holds, it begins anew, with the steps in words."""
    wire = answering(monkeypatch, click(640, 360))
    session = created(live, max_trajectory_length=2, instructions="Be quick.")
    costs = [predicted(live, session, n)["usage"]["cost_cents"] for n in range(5)]
    assert costs == [4, 6, 8, 4, 6]
    logs = [list(request.log) for request in wire.requests]
    for before, after in ((0, 1), (1, 2), (3, 4)):
        assert logs[after][: len(logs[before])] == logs[before]
    assert [sum(1 for item in log if item.get("$img")) for log in logs] == [1, 2, 3, 1, 2]
    assert logs[1][-2:] == [{"result": "", "ok": True, "$img": logs[1][-2]["$img"]}, {"note": "Do 1", "$img": None}]
    assert "Step 3.\nYou did: Click at (640, 360)" in logs[3][0]["task"]
    assert logs[3][0]["task"].startswith("The task: Do 3")
    assert {request.key for request in wire.requests} == {session}
    assert {request.system[-9:] for request in wire.requests} == {"Be quick."}
    assert wire.requests[2].picture(logs[2][0]["$img"]) == png(colour="red")
    assert SessionPicture.objects.count() == 2  # those of the log that began anew, and no others


def test_what_was_not_handed_out_is_said_not_to_be_done(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(Wanted(f"c{n}", "act", "wait", {"ms": n}) for n in range(7))
    wire = answering(monkeypatch, Thought(({"said": "much"},), "calls", many), click(1, 1))
    session = created(live)
    assert len(predicted(live, session)["actions"]) == 5
    predicted(live, session, 1)
    results = [item for item in wire.requests[1].log if "result" in item]
    assert [item["ok"] for item in results] == [True] * 5 + [False] * 2


def test_after_words_alone_and_after_a_safety_check_it_goes_on(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Wanted("c", "act", "click", {"x": 1, "y": 1}, checks=(Check("1", "c", "Is this your bank?"),))
    wire = answering(monkeypatch, Thought(({"said": "x"},), "calls", (checked,)), says("Hm?"), says("Hm?"), click(1, 1))
    session = created(live)
    assert [predicted(live, session, n)["status"] for n in range(3)] == ["fail", "fail", "continue"]
    told = [item for item in wire.requests[1].log if "result" in item]
    assert told == [{"result": "Not executed.", "ok": False, "$img": told[0]["$img"]}]
    assert wire.requests[-1].log[-1] == {"note": "Do 2", "$img": wire.requests[-1].log[-1]["$img"]}
    assert set(Call.objects.values_list("purpose", flat=True)) == {"session"}


def test_a_profile_that_is_gone_is_followed_by_another_with_a_new_log(
    live: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = answering(monkeypatch, click(1, 1))
    session = created(live)
    predicted(live, session)
    Profile.objects.create(name="other", wire="gemini", model="m", created_by={})
    Profile.objects.filter(name="seer").update(disabled_at=timezone.now(), is_default=False)
    predicted(live, session, 1)
    assert [spec.name for spec in wire.specs if spec.name == "other"]
    assert "Step 1." in wire.requests[1].log[0]["task"]
    Profile.objects.update(disabled_at=timezone.now())
    refused(live.post(f"/sessions/{session}/predict", body()), 503, "UPSTREAM_UNAVAILABLE")
    assert live.get(f"/sessions/{session}").json()["step_count"] == 2


@pytest.mark.parametrize("change", [{"wire": "gemini"}, {"model": "another"}, {"options": {"dialect": "json_point"}}])
def test_a_profile_of_another_form_begins_a_new_log(
    live: Api, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    wire = answering(monkeypatch, click(1, 1))
    session = created(live)
    predicted(live, session)
    Profile.objects.update(**change, version=2)
    predicted(live, session, 1)
    assert len(wire.requests[1].log) == 1
    assert "Step 1." in wire.requests[1].log[0]["task"]
    Profile.objects.update(prices={"input": 1, "output": 1}, version=3)
    predicted(live, session, 2)
    assert len(wire.requests[2].log) > 1


def test_a_call_that_fails_leaves_the_session_as_it_was(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, click(1, 1), ModelBusy("Overloaded.", 1), click(2, 2))
    session = created(live)
    predicted(live, session)
    before = Session.objects.values("log", "pending", "shown", "step_count", "total_credits_used", "busy").get()
    refused(live.post(f"/sessions/{session}/predict", body(1)), 503, "UPSTREAM_UNAVAILABLE")
    assert Session.objects.values("log", "pending", "shown", "step_count", "total_credits_used", "busy").get() == before
    assert predicted(live, session, 1)["step"] == 2


class TestTime:
    def test_half_an_hour_after_the_last_use_it_has_ended(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, click(1, 1))
        session = created(live)
        row = Session.objects.get()
        assert abs((row.expires_at - row.created_at).total_seconds() - 1800) < 1
        Session.objects.update(expires_at=timezone.now() + timedelta(seconds=5))
        predicted(live, session)
        assert Session.objects.get().expires_at > timezone.now() + timedelta(seconds=1790)
        assert services.sweep() == 0
        Session.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        refused(live.post(f"/sessions/{session}/predict", body()), 404, "SESSION_NOT_FOUND")
        refused(live.get(f"/sessions/{session}"), 404, "SESSION_NOT_FOUND")
        assert live.get("/sessions").json()["data"] == []
        assert SessionPicture.objects.exists()
        services.sweep()
        assert not SessionPicture.objects.exists()
        assert not Session.objects.exists()

    def test_the_clock_forgets_them(self) -> None:
        assert services.sweep in {chore.work for chore in CHORES}

    def test_a_call_whose_process_died_holds_the_session_for_minutes_only(
        self, live: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answering(monkeypatch, click(1, 1))
        session = created(live)
        Session.objects.update(busy="call_dead", busy_until=timezone.now() + timedelta(seconds=60))
        error = refused(live.post(f"/sessions/{session}/predict", body()), 409, "INVALID_STATE")
        assert (error["current_state"], error["allowed_from"]) == ("predicting", ["idle"])
        refused(live.post(f"/sessions/{session}/reset"), 409, "INVALID_STATE")
        Session.objects.update(busy_until=timezone.now() - timedelta(seconds=1))
        assert predicted(live, session)["step"] == 1


class TestAHundred:
    def test_the_hundred_and_first_is_refused(self, cast: Cast) -> None:
        one, other = cast.api(test=True), cast.api(test=True)
        session = created(one)
        row = Session.objects.get()
        for n in range(99):
            row.pk, row.expires_at = f"sess_{n}", timezone.now() + timedelta(seconds=100 + n)
            row.save(force_insert=True)
        answer = one.post("/sessions", {})
        error = refused(answer, 429, "SESSION_LIMIT_REACHED")
        assert 95 <= error["retry_after"] == int(answer["Retry-After"]) <= 101
        assert created(other)
        one.delete(f"/sessions/{session}")
        assert created(one)
        refused(one.post("/sessions", {}), 429, "SESSION_LIMIT_REACHED")
        Session.objects.filter(pk="sess_0").update(expires_at=timezone.now())
        assert created(one)

    def test_nothing_is_paid_for_it(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, click(1, 1))
        monkeypatch.setattr(services, "MOST", 1)
        created(live)
        refused(live.post("/sessions", {}), 429, "SESSION_LIMIT_REACHED")
        assert live.get("/billing/balance").json()["balance_cents"] == 9_990


@pytest.mark.django_db(transaction=True)
class TestTwoAtOnce:
    def test_of_two_predictions_one_is_409(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        live = cast.api()
        asked, go_on = threading.Event(), threading.Event()

        def slow(_: Any) -> Thought:
            asked.set()
            assert go_on.wait(SECONDS)
            return click(1, 1)

        answering(monkeypatch, slow)
        session = created(live)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(_and_close, lambda: live.post(f"/sessions/{session}/predict", body()))
            assert asked.wait(SECONDS)
            refused(live.post(f"/sessions/{session}/predict", body(1)), 409, "INVALID_STATE")
            refused(live.post(f"/sessions/{session}/reset"), 409, "INVALID_STATE")
            go_on.set()
            assert first.result(SECONDS).json()["step"] == 1
        assert (live.get(f"/sessions/{session}").json()["step_count"], held(cast.team.id)) == (1, 0)

    def test_a_session_that_is_deleted_under_a_prediction(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        live = cast.api()
        asked, go_on = threading.Event(), threading.Event()

        def slow(_: Any) -> Thought:
            asked.set()
            assert go_on.wait(SECONDS)
            return click(1, 1)

        answering(monkeypatch, slow)
        session = created(live)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(_and_close, lambda: live.post(f"/sessions/{session}/predict", body()))
            assert asked.wait(SECONDS)
            assert live.delete(f"/sessions/{session}").status_code == 200
            go_on.set()
            refused(first.result(SECONDS), 404, "SESSION_NOT_FOUND")
        assert not SessionPicture.objects.exists()
        assert live.get("/billing/balance").json()["available_cents"] == 9_990

    def test_the_limit_holds_for_calls_at_the_same_moment(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(services, "MOST", 3)
        api = cast.api(test=True)
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda _: _and_close(lambda: api.post("/sessions", {}).status_code), range(16)))
        assert sorted(statuses) == [200] * 3 + [429] * 13


def _and_close(work: Any) -> Any:
    try:
        return work()
    finally:
        connections.close_all()


def test_another_world_and_another_team_do_not_see_it(
    live: Api, test_key: Api, strangers: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, click(1, 1))
    session = created(live)
    for api in (test_key, strangers.api()):
        refused(api.get(f"/sessions/{session}"), 404, "SESSION_NOT_FOUND")
        refused(api.post(f"/sessions/{session}/predict", body()), 404, "SESSION_NOT_FOUND")
        refused(api.delete(f"/sessions/{session}"), 404, "SESSION_NOT_FOUND")
        assert api.get("/sessions").json()["data"] == []


@pytest.mark.parametrize(("more", "loc"), [
    ({"max_trajectory_length": 0}, ["max_trajectory_length"]), ({"max_trajectory_length": 21}, ["max_trajectory_length"]),
    ({"metadata": {str(n): n for n in range(33)}}, ["metadata"]), ({"metadata": {"a": "x" * 17_000}}, ["metadata"]),
    ({"tools": []}, ["tools"]), ({"screen_width": 10}, ["screen_width"]), ({"cua_version": "v9"}, ["cua_version"]), ({"x": 1}, ["x"]),
    ({"screenshot": "x"}, ["screenshot"]),
])  # fmt: skip
def test_bodies_that_are_refused(test_key: Api, more: dict[str, Any], loc: list[Any]) -> None:
    assert ["body", *loc] in locs(test_key.post("/sessions", more))


def test_what_is_not_said_is_as_the_contract_says(test_key: Api) -> None:
    made = test_key.post("/sessions", {}).json()
    assert made["screen_size"] == "1920x1080"
    row = Session.objects.get()
    assert (row.cua_version, row.max_trajectory_length, row.tools, row.metadata) == ("v3", 3, None, {})
    assert test_key.post(f"/sessions/{made['session_id']}/reset").json().keys() == {
        "status",
        "session_id",
        "request_id",
    }


def test_the_order_of_checks(test_key: Api) -> None:
    session = created(test_key)
    refused(test_key.post("/sessions/sess_none/predict", {}), 404, "SESSION_NOT_FOUND")
    assert ["body", "screenshot"] in locs(test_key.post(f"/sessions/{session}/predict", {}))
    refused(test_key.post(f"/sessions/{session}/predict", body(screenshot="x")), 422, "INVALID_SCREENSHOT")
    answer = test_key.post(f"/sessions/{session}/predict", body(screenshot="A" * 10_485_761))
    refused(answer, 413, "PAYLOAD_TOO_LARGE")
    assert created(test_key, metadata={str(n): n for n in range(32)}, max_trajectory_length=20)


def test_the_test_world_ends_after_three_steps_and_keeps_no_picture(test_key: Api) -> None:
    session = created(test_key, tools=["click"])
    found = [predicted(test_key, session, n) for n in range(4)]
    assert [each["status"] for each in found] == ["continue"] * 3 + ["done"]
    assert [each["actions"][0]["action_type"] for each in found] == ["click"] * 3 + ["done"]
    assert not SessionPicture.objects.exists()


def test_lists_in_pages_newest_first(test_key: Api) -> None:
    made = [created(test_key) for _ in range(3)]
    first = test_key.get("/sessions?limit=2").json()
    rest = test_key.get(f"/sessions?limit=2&cursor={first['next_cursor']}").json()
    assert [row["session_id"] for row in first["data"] + rest["data"]] == made[::-1]


def test_scope(cast: Cast) -> None:
    api = only(cast, "session", test=True)
    session = created(api)
    predicted(api, session)
    error = refused(only(cast, "predict", test=True).get("/sessions"), 403, "INSUFFICIENT_SCOPE")
    assert error["required_scope"] == "session"
