"""The pages of machines, the ledger and keys."""

from collections.abc import Callable

import pytest
from django.utils import timezone

from accounts.errors import InvalidApiKey
from accounts.models import ApiKey
from billing.access import available
from machines import pictures
from machines.models import Machine
from machines.services import reserve
from machines.takeover.services import take
from runs.models import Run
from tests.cast import Api, Cast, actor_of_key
from tests.pages.conftest import Visit, text

pytestmark = pytest.mark.django_db


def test_a_machine_is_made_stopped_started_and_ended(visit: Visit) -> None:
    alice = visit("alice", "live")
    assert "Desk 2 is being made." in text(alice.post("/machines/new", {"display_name": "Desk 2", "kind": "simulated"}))
    machine = Machine.objects.get()
    assert "Stopped" in text(alice.post(f"/machines/{machine.id}/stop"))
    assert "Running" in text(alice.post(f"/machines/{machine.id}/start"))
    assert "Terminate Desk 2?" in text(alice.get(f"/machines/{machine.id}/terminate"))
    assert "Show 1 terminated machine" in text(alice.post(f"/machines/{machine.id}/terminate"))
    assert "Desk 2" in text(alice.get("/machines?all=1"))


def test_who_may_not_change_machines_sees_no_buttons(visit: Visit, machine: Machine) -> None:
    page = text(visit("bob", "live").get("/machines"))
    assert "Desk 1" in page
    assert "Terminate" not in page
    assert "New machine" not in page


def test_a_machine_that_does_not_work_says_why(visit: Visit, machine: Machine) -> None:
    Machine.objects.filter(id=machine.id).update(status="error", problem="tmux is not installed: apt-get install tmux.")
    page = text(visit("bob", "live").get("/machines"))
    assert "Does not work" in page
    assert "apt-get install tmux" in page


@pytest.mark.parametrize(
    ("isolation", "badge", "words"),
    [
        ("bubblewrap", "Sandbox", "A sandbox keeps it"),
        ("fence", "Fence", "Not a sandbox"),
        ("none", "Not isolated", "Nothing keeps"),
    ],
)
def test_pages_say_what_isolates_a_machine(
    visit: Visit, machine: Machine, isolation: str, badge: str, words: str
) -> None:
    simulated = text(visit("bob", "live").get("/machines"))
    assert "Simulated</span>" in simulated
    assert words not in simulated
    Machine.objects.filter(id=machine.id).update(kind="terminal", status="stopped", handle={"isolation": isolation})
    for path in ("/machines", f"/machines/{machine.id}/screen"):
        page = text(visit("bob", "live").get(path))
        assert f"{badge}</span>" in page, path
        assert words in page, path


def test_the_last_picture_and_the_run_that_drives_it(
    visit: Visit, machine: Machine, begin_live: Callable[..., Run]
) -> None:
    run = begin_live("x [pause]")
    assert reserve(machine.id, run.id)
    sha = pictures.store(b"\x89PNG not really")
    Machine.objects.filter(id=machine.id).update(picture=sha, picture_at=timezone.now())
    bob = visit("bob", "live")
    assert f'href="/runs/{run.id}"' in text(bob.get("/machines"))
    assert bob.get(f"/machines/{machine.id}/picture.png").content == b"\x89PNG not really"
    assert visit("charlie", "live").get(f"/machines/{machine.id}/picture.png").status_code == 404


def test_anybody_who_sees_a_machine_may_take_a_picture_of_its_screen(visit: Visit, machine: Machine) -> None:
    bob = visit("bob", "live")
    assert "No picture yet" in text(bob.get("/machines"))
    assert "Last picture of Desk 1" in text(bob.post(f"/machines/{machine.id}/look"))
    assert bob.get(f"/machines/{machine.id}/picture.png").content.startswith(b"\x89PNG")
    Machine.objects.filter(id=machine.id).update(status="stopped")
    assert "running" in text(bob.post(f"/machines/{machine.id}/look"))


def test_T_172_no_picture_of_a_private_takeover_is_kept(visit: Visit, cast: Cast, machine: Machine) -> None:
    take(cast.actor("olga"), machine.id, private=True)
    answer = visit("olga", "live").post(f"/machines/{machine.id}/look")
    assert "No picture of a private takeover is kept." in text(answer)
    assert "controls this machine" in text(visit("bob", "live").post(f"/machines/{machine.id}/look"))
    assert Machine.objects.get().picture == ""


def test_a_busy_machine_is_not_stopped(visit: Visit, machine: Machine, begin_live: Callable[..., Run]) -> None:
    assert reserve(machine.id, begin_live("x [pause]").id)
    page = text(visit("alice", "live").post(f"/machines/{machine.id}/stop"))
    assert "drives this machine" in page


def test_the_ledger_shows_the_charges_of_a_run_and_that_it_adds_up(
    visit: Visit, begin_live: Callable[..., Run]
) -> None:
    run = begin_live("three steps")
    adam = visit("adam", "live")
    page = text(adam.get("/ledger"))
    assert "The ledger adds up:" in page
    assert "$99.85 in the wallet + $0.00 held + $0.15 used = $100.00 put in" in page
    only = adam.get(f"/ledger?run={run.id}&type=capture")
    assert [row.amount_cents for row in only.context["rows"]] == [5, 5, 5]
    assert "$0.15" in text(only)


def test_the_test_world_explains_that_nothing_is_billed(visit: Visit) -> None:
    page = text(visit("olga").get("/ledger"))
    assert "Nothing is billed in the test world" in page
    assert "Top up" not in page


def test_an_admin_adds_money_once_per_reference(visit: Visit, cast: Cast) -> None:
    olga = visit("olga", "live")
    for _ in range(2):
        assert "$25.50 is in the wallet" in text(olga.post("/ledger/top-up", {"amount": "25.50", "reference": "INV-7"}))
    assert available(cast.team.id) == 12_550
    refused = olga.post("/ledger/top-up", {"amount": "0", "reference": "INV-8"})
    assert refused.status_code == 422


def test_nobody_else_adds_money(visit: Visit, cast: Cast, live: Api) -> None:
    live.patch("/team", {"usage_for_all": True})
    assert "Top up" not in text(visit("ana", "live").get("/ledger"))
    assert visit("ana", "live").post("/ledger/top-up", {"amount": "5", "reference": "x"}).status_code == 403
    assert visit("olga", "test").post("/ledger/top-up", {"amount": "5", "reference": "x"}).status_code == 403
    assert available(cast.team.id) == 10_000


def test_a_key_is_shown_once_and_opens_the_api(visit: Visit) -> None:
    olga = visit("olga", "live")
    answer = olga.post("/keys/new", {"name": "nightly", "scopes": ["runs:read", "runs:write"], "budget": "12"})
    row = ApiKey.objects.get()
    key = answer.context["made"].key
    assert key in text(answer)
    assert "no-store" in answer["Cache-Control"]
    assert actor_of_key(key).scopes == {"runs:read", "runs:write"}
    assert row.budget_cents_month == 1200
    assert key not in text(olga.get("/keys"))
    assert row.prefix in text(olga.get("/keys"))


def test_a_revoked_key_opens_nothing(visit: Visit) -> None:
    olga = visit("olga", "live")
    key = olga.post("/keys/new", {"name": "k", "scopes": ["runs:read"]}).context["made"].key
    row = ApiKey.objects.get()
    assert "Revoke k?" in text(olga.get(f"/keys/{row.id}/revoke"))
    assert "The key k is revoked." in text(olga.post(f"/keys/{row.id}/revoke"))
    with pytest.raises(InvalidApiKey):
        actor_of_key(key)


def test_a_key_needs_a_name_and_a_scope(visit: Visit) -> None:
    answer = visit("olga", "live").post("/keys/new", {"name": ""})
    assert answer.status_code == 422
    assert "Choose at least one scope." in text(answer)
    assert not ApiKey.objects.exists()
