"""Stops on pages: the button with its reason, the banner on every page while one stands, and the lift."""

import pytest
from django.test import Client
from django.utils import timezone

from machines.models import Stop
from runs.models import Run, Step
from tests.cast import Api, Cast
from tests.runs.driving import begin, drive_all, show, simulated

pytestmark = pytest.mark.django_db


def browser(cast: Cast, name: str) -> Client:
    return cast.browser(name, mode="test")


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.content
    return " ".join(answer.content.decode().split())


def test_an_operator_stops_everything_and_an_admin_lifts_it(cast: Cast, test_key: Api) -> None:
    run = begin(test_key)
    alice, adam = browser(cast, "alice"), browser(cast, "adam")
    assert 'href="/stops/new"' in page(alice, "/")
    assert alice.post("/stops/new", {"what": "team", "reason": "It mails <everybody>."})["Location"] == "/stops"
    stop = Stop.objects.get()
    assert (stop.requested_by["name"], stop.reason, stop.confirmed_at is not None) == (
        "Alice",
        "It mails <everybody>.",
        True,
    )
    drive_all()
    assert show(test_key, run["id"])["status"] == "queued"
    for path in ("/", "/runs", f"/runs/{run['id']}", "/machines", "/ledger", "/profile", "/stops/new"):
        shown = page(adam, path)
        assert "STOPPED" in shown, path
        assert "It mails &lt;everybody&gt;." in shown
        assert "Confirmed: nothing acts." in shown
    assert f"/stops/{stop.id}/lift" in page(adam, "/stops")
    assert f"/stops/{stop.id}/lift" not in page(alice, "/stops")
    assert alice.post(f"/stops/{stop.id}/lift").status_code == 403
    assert "Lift the stop?" in page(adam, f"/stops/{stop.id}/lift")
    assert adam.post(f"/stops/{stop.id}/lift")["Location"] == "/stops"
    assert "STOPPED" not in page(adam, "/")
    shown = page(adam, "/stops")
    assert "It mails &lt;everybody&gt;." in shown
    drive_all()
    assert show(test_key, run["id"])["status"] == "succeeded"


def test_requested_and_confirmed_are_shown_apart(cast: Cast, test_key: Api) -> None:
    test_key.post("/stop", {"scope": "team", "reason": "x"})
    Stop.objects.update(confirmed_at=None)
    shown = page(browser(cast, "bob"), "/")
    assert "Not confirmed yet." in shown
    assert "Confirmed: nothing acts." not in shown


@pytest.mark.parametrize(
    ("name", "lifts", "begins"), [("bob", True, True), ("alice", True, False), ("adam", False, False)]
)
def test_who_cannot_do_it_is_told_who_can(cast: Cast, name: str, lifts: bool, begins: bool) -> None:
    shown = page(browser(cast, name), "/stops")
    assert ("Only an admin lifts a stop." in shown) is lifts
    assert ("Operators and admins begin one." in shown) is begins


def test_the_banner_is_of_its_team_and_world(cast: Cast, strangers: Cast, test_key: Api) -> None:
    test_key.post("/stop", {"scope": "team", "reason": "x"})
    assert "STOPPED" in page(browser(cast, "bob"), "/")
    assert "STOPPED" not in page(cast.browser("bob", mode="live"), "/")
    assert "STOPPED" not in page(strangers.browser("bob", mode="test"), "/")


def test_a_second_click_makes_no_second_stop(cast: Cast) -> None:
    alice = browser(cast, "alice")
    for _ in range(2):
        assert alice.post("/stops/new", {"what": "team", "reason": "x"}).status_code == 302
    assert Stop.objects.count() == 1
    assert browser(cast, "adam").post("/stops/new", {"what": "team", "reason": "I too"}).status_code == 302
    assert Stop.objects.count() == 2


def test_one_machine_can_be_stopped_and_no_other_teams(cast: Cast, strangers: Cast, test_key: Api) -> None:
    machine, theirs = simulated(test_key, "Shop"), simulated(strangers.api(test=True), "Theirs")
    alice = browser(cast, "alice")
    form = page(alice, "/stops/new")
    assert f'value="machine {machine}"' in form
    assert theirs not in form
    assert alice.post("/stops/new", {"what": f"machine {theirs}", "reason": "x"}).status_code == 422
    assert alice.post("/stops/new", {"what": f"machine {machine}", "reason": "x"}).status_code == 302
    assert "The machine Shop" in page(alice, "/")


def test_a_stop_needs_a_reason(cast: Cast) -> None:
    for reason in ("", "  ", "x" * 501):
        assert browser(cast, "alice").post("/stops/new", {"what": "team", "reason": reason}).status_code == 422
    assert not Stop.objects.exists()


def test_who_may_not_stop_finds_no_button(cast: Cast) -> None:
    for name in ("ana", "bob"):
        assert 'href="/stops/new"' not in page(browser(cast, name), "/")
        assert browser(cast, name).get("/stops/new").status_code == 403
        assert browser(cast, name).post("/stops/new", {"what": "team", "reason": "x"}).status_code == 403
        assert page(browser(cast, name), "/stops")


def test_the_audit_tells_all_three(cast: Cast, test_key: Api) -> None:
    stop_id = test_key.post("/stop", {"scope": "team", "reason": "Because."}).json()["id"]
    test_key.post(f"/stop/{stop_id}/lift")
    shown = page(browser(cast, "adam"), "/audit?kind=stop")
    for words in ("Stopped everything", "Nothing acts any more", "Lifted the stop", "Because."):
        assert words in shown


def test_a_run_that_was_stopped_in_a_step_is_not_called_at_work(cast: Cast, test_key: Api) -> None:
    run = begin(test_key, "x [steps:1]", machine_id=simulated(test_key))
    drive_all()
    now = timezone.now()
    Run.objects.filter(id=run["id"]).update(status="running", finished_at=None, stopped_at=now)
    Step.objects.filter(run_id=run["id"]).update(status="acting")
    shown = page(browser(cast, "bob"), f"/runs/{run['id']}")
    assert "it goes on when the stop is lifted" in shown
    assert "under way when it was stopped" in shown
    assert "The agent is working" not in shown
    assert "data-live-screen=" not in shown
