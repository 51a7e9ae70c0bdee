"""A live run that names no machine gets one of the kind that its task needs, an idle one first; else the team's default."""

from collections.abc import Iterator
from typing import Any

import pytest

from accounts.models import Team
from inference.models import Profile
from machines.drivers.browser.driver import BrowserDriver
from machines.drivers.terminal.driver import TerminalDriver
from machines.models import Machine
from runs.agents.base import Bound
from runs.agents.playbook.machine_kind import kind_needed
from runs.models import Run
from runs.starting.machine_choice import kind_of
from tests.cast import Api, Cast, make_cast
from tests.chance import ROUNDS
from tests.runs.test_races import Together

BROWSE, TYPE = 'Open https://shop.test/ and click "Buy"', "Run `uname -a`, then ask for approval to go on"
EITHER = "Wait 1 second, then ask for approval to go on"


def row(cast: Cast, kind: str, name: str, *, default: bool = False, **fields: Any) -> str:
    """A machine as if a worker had started it."""
    fields = {"status": "running", "created_by": {"type": "user", "id": "u", "name": "U"}} | fields
    machine = Machine.objects.create(team_id=cast.team.id, test=False, kind=kind, display_name=name, **fields)
    if default:
        Team.objects.filter(id=cast.team.id).update(default_machine_id=machine.id)
    return str(machine.id)


def goes_to(api: Api, task: str, **more: Any) -> str:
    answer = api.post("/runs", {"task": task, **more})
    assert answer.status_code == 200, answer.json()
    return str(answer.json()["machine_id"])


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        (BROWSE, "browser"), (TYPE, "terminal"), (EITHER, None), ('Fill "Name" with "x"', "browser"),
        ("Create a file named a.txt and stop", "terminal"), ("Open https://a.test/ then run `ls`", "browser"),
        ("Run `ls` then open https://a.test/", "terminal"), ("Sort out my taxes", None),
        ("Do a cartwheel, then open https://a.test/", "browser"), ('Check that the URL contains "x"', "browser"),
    ],
)  # fmt: skip
def test_what_a_task_needs_is_read_in_it(task: str, kind: str | None) -> None:
    assert kind_needed(task) == kind


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("Open the website and find the pricing page", "browser"), ("What is news on HTTPS://a.test?", "browser"),
        ("Find the cheapest flight online", "browser"), ("In the shell, say who is logged in", "terminal"),
        ("Use git to see what changed on the site", "terminal"), ("Find out what `df` says", "terminal"),
        ("Write an opposite", None), ("Sort out my taxes", None), (TYPE, "terminal"), (BROWSE, "browser"),
    ],
)  # fmt: skip
def test_a_model_gets_the_kind_that_its_task_speaks_of(task: str, kind: str | None) -> None:
    assert kind_of("claude", task) == kind
    assert kind_of("scripted", task) is None


def test_values_in_a_task_do_not_choose_a_machine() -> None:
    assert kind_of("claude", "Say website", (Bound(4, 7),)) is None


@pytest.mark.django_db
class TestChoice:
    def test_a_run_of_a_model_goes_where_its_task_is_at_home(self, cast: Cast, live: Api) -> None:
        Profile.objects.create(name="claude", wire="anthropic", model="m", created_by={})
        terminal, browser = row(cast, "terminal", "T", default=True), row(cast, "browser", "B")
        assert goes_to(live, "Find the pricing page of the website", agent="claude") == browser
        assert goes_to(live, "Sort out my taxes", agent="claude") == terminal

    def test_the_task_decides_the_kind_and_the_default_takes_the_rest(self, cast: Cast, live: Api) -> None:
        terminal, browser = row(cast, "terminal", "T", default=True), row(cast, "browser", "B")
        assert [goes_to(live, task) for task in (BROWSE, TYPE, EITHER, "Sort out my taxes")] == [
            browser, terminal, terminal, terminal
        ]  # fmt: skip
        assert Run.objects.get(machine_id=browser).machine_kind == "browser"
        assert goes_to(live, BROWSE, machine_id=terminal) == terminal
        assert goes_to(live, BROWSE, agent="scripted") == terminal

    def test_the_goal_of_an_input_counts_as_well(self, cast: Cast, live: Api) -> None:
        row(cast, "terminal", "T", default=True)
        browser = row(cast, "browser", "B")
        assert live.post("/runs", {"input": {"goal": BROWSE}}).json()["machine_id"] == browser

    def test_an_idle_one_comes_first_and_then_the_default(self, cast: Cast, live: Api) -> None:
        first, default = row(cast, "terminal", "A"), row(cast, "terminal", "D", default=True)
        stopped, last = row(cast, "terminal", "S", status="stopped"), row(cast, "terminal", "Z")
        assert [goes_to(live, TYPE) for _ in range(4)] == [default, first, last, default]
        Run.objects.all().delete()
        Machine.objects.filter(id__in=[default, first]).update(current_run_id="run_other")
        assert goes_to(live, TYPE) == last
        Machine.objects.exclude(id=stopped).update(status="terminated", terminated_at="2026-01-01T00:00:00Z")
        assert goes_to(live, TYPE) == stopped

    def test_a_team_without_that_kind_uses_its_default(self, cast: Cast, live: Api, strangers: Cast) -> None:
        row(strangers, "browser", "Theirs")
        terminal = row(cast, "terminal", "T", default=True)
        row(cast, "browser", "Gone", status="terminated", terminated_at="2026-01-01T00:00:00Z")
        assert goes_to(live, BROWSE) == terminal

    def test_no_machine_is_said_with_the_way_on(
        self, cast: Cast, live: Api, test_key: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        error = live.post("/runs", {"task": TYPE}).json()["error"]
        assert (error["code"], error["reason_code"]) == ("VALIDATION_ERROR", "no_machine")
        assert "or use the test key" in error["message"]
        for driver in (TerminalDriver, BrowserDriver):
            monkeypatch.setattr(driver, "missing", lambda self: [f"The {self.kind} lacks something."])
        answer = live.post("/runs", {"task": TYPE})
        error = answer.json()["error"]
        assert (answer.status_code, error["reason_code"]) == (422, "no_machine")
        assert error["message"].startswith(
            "No machine can be made on this computer yet: The terminal lacks something. The browser lacks something."
        )
        assert error["details"][0]["loc"] == ["body", "machine_id"]
        assert not Run.objects.exists()
        assert test_key.post("/runs", {"task": TYPE}).status_code == 200

    def test_a_default_that_ended_is_none(self, cast: Cast, live: Api) -> None:
        row(cast, "terminal", "T", default=True, status="terminated", terminated_at="2026-01-01T00:00:00Z")
        assert live.post("/runs", {"task": EITHER}).json()["error"]["reason_code"] == "no_machine"

    @pytest.mark.parametrize("kind", ["desktop", "browser"])
    def test_a_kind_that_this_computer_cannot_run_is_refused(
        self, live: Api, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(BrowserDriver, "missing", lambda self: ["There is no Chromium: fetch it."])
        answer = live.post("/machines", {"display_name": "m", "kind": kind})
        error = answer.json()["error"]
        assert (answer.status_code, error["reason_code"]) == (422, "no_machine")
        assert error["message"].startswith(f"No machine of kind {kind} can be made on this computer yet: ")
        assert error["details"][0]["loc"] == ["body", "kind"]
        assert not Machine.objects.exists()


@pytest.fixture
def pair() -> Iterator[Together]:
    threads = Together(2)
    yield threads
    threads.close()


@pytest.mark.django_db(transaction=True)
def test_two_runs_made_at_once_do_not_take_the_same_idle_machine(pair: Together) -> None:
    cast = make_cast("acme")
    machines = {row(cast, "terminal", "A", default=True), row(cast, "terminal", "B")}
    api = cast.api()
    for _ in range(ROUNDS):
        assert set(pair.run(lambda: goes_to(api, TYPE), lambda: goes_to(api, TYPE))) == machines
        Run.objects.all().delete()
