"""What direct calls cost, and that their holds end once, whatever happens (docs/api/billing.md 1 to 4)."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connection, connections, transaction
from django.utils import timezone

from billing import direct as billing
from billing.access import account_balances, held
from billing.errors import HoldEnded
from billing.models import CallInHand, Transaction
from config.clock import CHORES
from config.own_processes import wait_until
from config.server.asgi_handler import Handler
from inference import billed_calls
from inference.errors import ModelBusy
from inference.models import Call
from tests.cast import Api, Cast, actor_of_key
from tests.conventions.conftest import refused, row_of
from tests.inference.shots import answering, shot
from tests.inference.wire import FakeWire, click

pytestmark = pytest.mark.django_db
SECONDS = 10


def body(width: int = 1280, height: int = 720, **more: Any) -> dict[str, Any]:
    return {"screenshot": shot(width, height), "instruction": "Press OK"} | more


def cost(api: Api, path: str = "/predict", **sent: Any) -> tuple[int, dict[str, int]]:
    answer = api.post(path, sent)
    assert answer.status_code == 200, answer.content
    usage = answer.json()["usage"]
    assert usage["credits_charged"] == usage["cost_cents"] == sum(usage["breakdown"].values())
    assert answer["X-Credits-Charged"] == str(usage["cost_cents"] if usage["billed"] else 0)
    return usage["cost_cents"], usage["breakdown"]


@pytest.mark.parametrize("kind", ["live", "test"])
def test_T_169_1280x720_costs_no_surcharge_one_pixel_more_does_and_a_prompt_of_501_characters_costs_one(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    answering(monkeypatch, click(1, 1))
    api = cast.api(test=kind == "test")
    assert cost(api, **body(1280, 720)) == (5, {"base": 5})
    assert cost(api, **body(1281, 720)) == (6, {"base": 5, "high_definition": 1})
    assert cost(api, **body(1280, 721)) == (6, {"base": 5, "high_definition": 1})
    assert cost(api, **body(system_prompt="x" * 500)) == (5, {"base": 5})
    assert cost(api, **body(system_prompt="x" * 501)) == (6, {"base": 5, "system_prompt": 1})


@pytest.mark.parametrize(("more", "cents"), [
    ({"cua_version": "v1"}, 8), ({"cua_version": "v4"}, 5),
    ({"trajectory": [{"screenshot": shot()}]}, 7),
    ({"trajectory": [{"screenshot": shot(1281, 720)}, {"screenshot": shot()}]}, 10),
    ({"trajectory": [{"screenshot": shot(1281, 720)}] * 20, "screenshot": shot(1281, 721), "cua_version": "v1",
      "system_prompt": "x" * 501}, 70),
    ({"screen_width": 3840, "screen_height": 2160}, 5),  # the picture counts, not the screen that it is of
])  # fmt: skip
def test_surcharges_of_predict(test_key: Api, more: dict[str, Any], cents: int) -> None:
    assert cost(test_key, **body() | more)[0] == cents


def test_prices_of_the_other_calls(test_key: Api) -> None:
    ground = {"screenshot": shot(), "element": "OK"}
    assert cost(test_key, "/ground", **ground) == (3, {"base": 3})
    assert cost(test_key, "/ground", **ground | {"screenshot": shot(1281, 720)})[0] == 4
    made = test_key.post("/sessions", {"cua_version": "v1", "system_prompt": "x" * 501})
    assert made.json()["usage"]["cost_cents"] == 10  # no surcharges
    path = f"/sessions/{made.json()['session_id']}/predict"
    assert cost(test_key, path, **body()) == (8, {"base": 4, "engine_v1": 3, "system_prompt": 1})
    assert cost(test_key, path, **body(1281, 721))[0] == 11
    assert cost(test_key, path, **body())[0] == 13  # two pictures from before, one of them in high definition


def test_what_is_free_has_no_such_headers(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, click(1, 1))
    made = live.post("/sessions", {})
    session = f"/sessions/{made.json()['session_id']}"
    assert made["X-Credits-Charged"] == "10"
    free = [
        live.get("/models"), live.post("/parse", {"code": "pyautogui.click(1, 2)"}), live.get("/sessions"), live.get(session),
        live.post(f"{session}/reset"), live.get("/usage"), live.delete(session),
    ]  # fmt: skip
    assert [answer.status_code for answer in free] == [200] * 7
    assert not [name for answer in free for name in answer.headers if name.startswith("X-Credits")]


def test_the_ledger_of_a_call(live: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, click(1, 1))
    answer = live.post("/predict", body(1281, 720))
    assert (answer["X-Credits-Charged"], answer["X-Credits-Remaining"]) == ("6", "9994")
    capture, hold, _ = live.get("/billing/ledger").json()["data"]
    assert (hold["type"], hold["endpoint"], hold["key_id"], hold["run_id"], hold["amount_cents"]) == (
        "hold", "predict", row_of(live).id, None, 6
    )  # fmt: skip
    assert (capture["type"], capture["description"]) == ("capture", "Prediction (high definition)")
    assert [e["account"] for e in capture["entries"]] == ["held", "usage"]
    assert live.get("/billing/balance").json()["ledger_ok"] is True
    assert not CallInHand.objects.exists()
    page = cast.browser("olga").get("/ledger").content.decode()
    assert "Prediction (high definition)" in page


def test_usage_shows_the_endpoints(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, click(5, 5))
    session = live.post("/sessions", {}).json()["session_id"]
    for _ in range(2):
        live.post("/predict", body())
    live.post(f"/sessions/{session}/predict", body())
    live.post("/ground", {"screenshot": shot(), "element": "the icon of a disk"})
    usage = live.get("/usage").json()
    assert usage["breakdown"] == {
        "predict": {"requests": 2, "credits": 10}, "sessions": {"requests": 1, "credits": 10},
        "session_predict": {"requests": 1, "credits": 4}, "ground": {"requests": 1, "credits": 3},
    }  # fmt: skip
    assert (usage["total_requests"], usage["total_credits"], usage["balance"]) == (5, 27, 9_973)


class TestMoneyThatIsNotThere:
    def test_the_wallet(self, cast: Cast, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        wire = answering(monkeypatch, click(1, 1))
        cast.team.wallet.available_cents = 4
        cast.team.wallet.save()
        error = refused(live.post("/predict", body()), 402, "INSUFFICIENT_CREDITS")
        assert (error["required"], error["balance"]) == (5, 4)
        refused(live.post("/sessions", {}), 402, "INSUFFICIENT_CREDITS")
        assert live.get("/sessions").json()["data"] == []
        assert live.post("/ground", {"screenshot": shot(), "element": "the icon"}).status_code == 200
        assert len(wire.requests) == 1
        assert not CallInHand.objects.exists()

    @pytest.mark.parametrize("scope", ["key", "team"])
    def test_budgets(self, cast: Cast, live: Api, monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
        answering(monkeypatch, click(1, 1))
        row = row_of(live) if scope == "key" else cast.team
        row.budget_cents_month = 10
        row.save()
        assert [live.post("/predict", body()).status_code for _ in range(3)] == [200, 200, 402]
        error = refused(live.post("/predict", body()), 402, "BUDGET_EXCEEDED")
        assert (error["scope"], error["limit_cents"], error["spent_cents"]) == (scope, 10, 10)
        assert cast.api(test=True).post("/predict", body()).status_code == 200

    def test_a_caller_has_so_many_calls_in_hand(self, cast: Cast, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, click(1, 1))
        actor = actor_of_key(live.key)
        holds = [billing.hold_call(actor, billing.price("predict", images=[])) for _ in range(100)]
        answer = live.post("/predict", body())
        assert refused(answer, 429, "RATE_LIMITED")["retry_after"] == int(answer["Retry-After"])
        assert cast.api().post("/predict", body()).status_code == 200
        billing.release_call(holds[0])
        assert live.post("/predict", body()).status_code == 200

    def test_money_is_looked_at_last(self, cast: Cast, live: Api) -> None:
        cast.team.wallet.available_cents = 0
        cast.team.wallet.save()
        refused(live.post("/predict", {}), 422, "VALIDATION_ERROR")
        refused(live.post("/predict", body()), 503, "UPSTREAM_UNAVAILABLE")


def test_what_fails_is_given_back(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, ModelBusy("Overloaded.", 1))
    answer = live.post("/predict", body())
    assert "X-Credits-Charged" not in answer.headers
    release, hold, _ = live.get("/billing/ledger").json()["data"]
    assert (release["type"], release["endpoint"], hold["type"]) == ("release", "predict", "hold")
    assert live.get("/billing/balance").json()["available_cents"] == 10_000
    assert live.get("/usage").json()["breakdown"] == {}


class TestIdempotency:
    def test_a_replay_costs_and_asks_nothing(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        wire = answering(monkeypatch, click(1, 1))
        first, second = (live.post("/predict", body(), Idempotency_Key="k") for _ in range(2))
        assert second.content == first.content
        assert (second["X-Credits-Charged"], second["Idempotency-Replayed"]) == ("0", "true")
        assert second["X-Credits-Remaining"] == "9995"
        assert len(wire.requests) == 1
        refused(live.post("/predict", body(1281), Idempotency_Key="k"), 422, "IDEMPOTENCY_KEY_REUSED")
        assert live.get("/billing/balance").json()["available_cents"] == 9_995

    def test_sessions_too(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        wire = answering(monkeypatch, click(1, 1))
        one, two = (live.post("/sessions", {}, Idempotency_Key="s").json()["session_id"] for _ in range(2))
        assert one == two
        for _ in range(2):
            assert live.post(f"/sessions/{one}/predict", body(), Idempotency_Key="p").json()["step"] == 1
        assert len(wire.requests) == 1
        assert live.get(f"/sessions/{one}").json()["step_count"] == 1

    def test_errors_bind_no_key(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, ModelBusy("Overloaded.", 1), click(1, 1))
        assert live.post("/predict", body(), Idempotency_Key="k").status_code == 503
        assert live.post("/predict", body(), Idempotency_Key="k").status_code == 200

    def test_refusals_before_the_hold_bind_none_either(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        assert live.post("/predict", body(), Idempotency_Key="k").status_code == 503
        answering(monkeypatch, click(1, 1))
        assert live.post("/predict", body(), Idempotency_Key="k").status_code == 200


class TestAProcessThatDies:
    def test_its_hold_lapses_by_the_clock(self, cast: Cast, live: Api) -> None:
        actor = actor_of_key(live.key)
        hold = billing.hold_call(actor, billing.price("predict", images=[]))
        assert billing.release_lapsed() == 0
        CallInHand.objects.update(lapses_at=timezone.now() - timedelta(seconds=1))
        assert billing.release_lapsed() == 5
        assert billing.release_lapsed() == 0
        assert held(cast.team.id) == 0
        with pytest.raises(HoldEnded):
            billing.capture_call(hold)
        assert billing.release_call(hold) == 0
        balance = live.get("/billing/balance").json()
        assert (balance["available_cents"], balance["ledger_ok"]) == (10_000, True)

    def test_the_clock_does_it(self) -> None:
        assert billing.release_lapsed in {chore.work for chore in CHORES}

    def test_an_answer_that_comes_after_that_is_none(
        self, live: Api, cast: Cast, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As if this process had slept for ten minutes."""
        answering(monkeypatch, click(1, 1))
        monkeypatch.setattr(billing, "LAPSE", timedelta(minutes=-1))
        settle = billed_calls._Running.settle

        def lapsed(*args: Any) -> Any:
            billing.release_lapsed()
            return settle(*args)

        monkeypatch.setattr(billed_calls._Running, "settle", lapsed)
        refused(live.post("/predict", body()), 504, "UPSTREAM_TIMEOUT")
        assert live.get("/billing/balance").json()["available_cents"] == 10_000
        assert account_balances(cast.team.id)["usage"] == 0


@pytest.mark.django_db(transaction=True)
class TestManyAtOnce:
    def test_50_calls_on_money_for_40(self, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every second one fails, and the ledger is exact to the cent."""
        live = cast.api()
        cast.team.wallet.available_cents = 200
        cast.team.wallet.save()
        numbers, lock = iter(range(1000)), threading.Lock()

        def answer(_: Any) -> Any:
            with lock:
                number = next(numbers)
            if number % 2:
                raise ModelBusy("Overloaded.", 1)
            return click(1, 1)

        answering(monkeypatch, answer)
        monkeypatch.setattr("inference.calls.calling.BREAK_AFTER", 10_000)

        def call(_: int) -> tuple[int, int]:
            try:
                found = live.post("/predict", body())
                return found.status_code, int(found.headers.get("X-Credits-Charged", 0))
            finally:
                connections.close_all()

        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(call, range(50)))
        assert {status for status, _ in answers} <= {200, 402, 503}
        paid = sum(cents for _, cents in answers)
        assert paid == 5 * sum(status == 200 for status, _ in answers) > 0
        cast.team.wallet.refresh_from_db()
        assert cast.team.wallet.available_cents == 200 - paid >= 0
        assert held(cast.team.id) == 0
        assert account_balances(cast.team.id)["usage"] == paid
        assert not CallInHand.objects.exists()

    def test_one_key_twice_at_the_same_time_is_asked_and_paid_once(
        self, cast: Cast, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        live, asked, go_on = cast.api(), threading.Event(), threading.Event()

        def slow(_: Any) -> Any:
            asked.set()
            assert go_on.wait(SECONDS)
            return click(1, 1)

        wire = answering(monkeypatch, slow)

        def call() -> Any:
            return _and_close(lambda: live.post("/predict", body(), Idempotency_Key="k"))

        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(call)
            assert asked.wait(SECONDS)
            settings.IDEMPOTENCY_WAIT_SECONDS = 0.2
            refused(pool.submit(call).result(SECONDS), 409, "IDEMPOTENCY_IN_FLIGHT")
            settings.IDEMPOTENCY_WAIT_SECONDS = SECONDS
            second = pool.submit(call)
            go_on.set()
            assert second.result(SECONDS).content == first.result(SECONDS).content
        assert (second.result()["X-Credits-Charged"], len(wire.requests)) == ("0", 1)
        assert account_balances(cast.team.id)["usage"] == 5

    def test_a_capture_and_a_lapse_at_once_end_the_hold_once(self, cast: Cast) -> None:
        actor = actor_of_key(cast.api().key)
        for _ in range(10):
            hold = billing.hold_call(actor, billing.price("ground", images=[]))
            ready = threading.Barrier(2)

            def end(work: Any, hold: str = hold, ready: threading.Barrier = ready) -> bool:
                try:
                    ready.wait(SECONDS)
                    with transaction.atomic():
                        return work(hold) != 0
                except HoldEnded:
                    return False
                finally:
                    connections.close_all()

            with ThreadPoolExecutor(2) as pool:
                list(pool.map(end, (billing.capture_call, billing.release_call)))
            assert Transaction.objects.filter(hold_id=hold).count() == 1
        assert held(cast.team.id) == 0


def opened(handler: Handler, key: str, method: str, path: str) -> Any:
    headers = [(b"x-api-key", key.encode()), (b"content-type", b"application/json"), (b"host", b"localhost")]
    scope = {
        "type": "http", "method": method, "path": path, "headers": headers, "query_string": b"", "server": ("localhost", 80),
    }  # fmt: skip
    return ApplicationCommunicator(handler, scope)  # type: ignore[no-untyped-call]


@pytest.mark.django_db(transaction=True)
class TestInAWebProcess:
    """The handler that web processes have, with its event loop."""

    @pytest.fixture(autouse=True)
    def _connections_end_with_requests(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)

    @pytest.fixture
    def wire(self, monkeypatch: pytest.MonkeyPatch, cast: Cast) -> FakeWire:
        return answering(monkeypatch, None)

    @pytest.fixture
    def handler(self, settings: Any) -> Iterator[Handler]:
        """With one thread: what holds it holds up everybody."""
        settings.REQUEST_THREADS = 1
        made = Handler()
        yield made
        made.close()

    async def begun(self, handler: Handler, key: str, wire: FakeWire) -> Any:
        asked = opened(handler, key, "POST", "/v1/predict")
        await asked.send_input({"type": "http.request", "body": json.dumps(body()).encode()})
        assert await asyncio.to_thread(wait_until, lambda: bool(wire.requests), SECONDS)
        return asked

    async def test_no_thread_and_no_connection_is_held_while_the_model_is_asked(
        self, handler: Handler, live: Api, wire: FakeWire
    ) -> None:
        wire.moves, wire.gate = [click(1, 1)], asyncio.Event()
        asked = await self.begun(handler, live.key, wire)
        only_ours = lambda: _connections() == 1  # noqa: E731  the test's own
        assert await asyncio.to_thread(wait_until, only_ours, SECONDS)
        other = opened(handler, live.key, "GET", "/v1/models")
        await other.send_input({"type": "http.request"})
        assert (await other.receive_output(SECONDS))["status"] == 200
        wire.gate.set()
        start = await asked.receive_output(SECONDS)
        headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        assert (start["status"], headers["x-credits-charged"], headers["x-key-kind"]) == (200, "5", "live")
        assert int(headers["x-ratelimit-remaining"]) < 600
        sent = await asked.receive_output(SECONDS)
        assert json.loads(sent["body"])["request_id"] == headers["x-request-id"]
        assert headers["content-length"] == str(len(sent["body"]))

    async def test_a_caller_who_leaves_cancels_the_call_and_gets_the_money_back(
        self, handler: Handler, live: Api, wire: FakeWire, cast: Cast
    ) -> None:
        asked = await self.begun(handler, live.key, wire)
        assert await asyncio.to_thread(_held, cast.team.id) == 5
        await asked.send_input({"type": "http.disconnect"})
        async with asyncio.timeout(SECONDS):
            await asyncio.shield(asked.future)
        assert asked.output_queue.empty()
        assert wire.under_way == 0
        assert await asyncio.to_thread(_held, cast.team.id) == 0
        assert await asyncio.to_thread(lambda: _and_close(lambda: Call.objects.get().status)) == "abandoned"

    async def test_a_process_that_is_told_to_end_says_so(
        self, handler: Handler, live: Api, wire: FakeWire, cast: Cast
    ) -> None:
        asked = await self.begun(handler, live.key, wire)
        asked.future.cancel()
        assert (await asked.receive_output(SECONDS))["status"] == 503
        assert await asyncio.to_thread(_held, cast.team.id) == 0


def _and_close(work: Any) -> Any:
    try:
        return work()
    finally:
        connection.close()


def _held(team_id: str) -> int:
    return int(_and_close(lambda: held(team_id)))


def _connections() -> int:
    """Of others to this database."""

    def count() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            return int(cursor.fetchone()[0])

    return int(_and_close(count))
