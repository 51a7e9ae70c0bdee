"""The page of a machine's screen: who watches, who acts, what a click means, and giving control back."""

import time
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from machines.models import Machine, TakeoverLease
from tests.cast import Cast
from tests.pages.conftest import Visit, Visitor, text
from tests.pages.reading import read
from tests.runs.driving import begin, drive_all, log, show, simulated, status_of
from tests.takeover.control import lapse, pass_time, take

pytestmark = pytest.mark.django_db


@pytest.fixture
def machine(cast: Cast) -> str:
    return simulated(cast.api(test=True))


def in_control(person: Visitor, machine: str, **fields: str) -> TakeoverLease:
    page = person.post(f"/machines/{machine}/control", fields)
    assert "You control this machine" in text(page)
    return TakeoverLease.objects.get(machine_id=machine, ended_at=None)


def act(person: Visitor, lease: TakeoverLease, **fields: Any) -> str:
    """What the page says after an action by hand."""
    sent = {"lease": lease.id, "seen": str(int(time.time()))} | fields
    return text(person.post(f"/machines/{lease.machine_id}/control/act", sent))


def done(machine: str) -> list[Any]:
    """What was done by hand, as the audit has it."""
    rows = AuditEntry.objects.filter(verb="machine.action", subject=machine).order_by("id")
    return [(step["command"], step["params"]) for row in rows for step in row.data["actions"]]


def test_everybody_who_sees_machines_watches_and_who_may_act_is_offered_control(visit: Visit, machine: str) -> None:
    for name, offered in (("bob", False), ("ana", True), ("olga", True)):
        person = visit(name)
        page = person.get(f"/machines/{machine}/screen")
        assert ("Take control" in text(page)) is offered, name
        picture = person.get(read(text(page)).images[0]["src"])
        assert (picture["Content-Type"], picture["Cache-Control"]) == ("image/png", "private, no-store")
        assert picture.content.startswith(b"\x89PNG")


def test_a_takeover_from_the_card_to_the_end_of_the_run(visit: Visit, cast: Cast, machine: str) -> None:
    api = cast.api(test=True)
    run = begin(api, "x [steps:1] [takeover]", machine_id=machine)["id"]
    drive_all()
    ana = visit("ana")
    assert f"/runs/{run}/screen" in read(text(ana.get(f"/runs/{run}"))).links
    assert ana.get(f"/runs/{run}/screen")["Location"] == f"/machines/{machine}/screen"
    lease = in_control(ana, machine)
    act(ana, lease, text="captcha", enter="1")
    assert status_of(run) == "awaiting_human"
    answer = ana.post(f"/machines/{machine}/control/give-back", {"lease": lease.id, "note": "Solved it."}, follow=False)
    assert answer["Location"] == f"/runs/{run}"
    drive_all()
    assert show(api, run)["status"] == "succeeded"
    assert "Solved it." in str([data for kind, data in log(run) if kind == "text"])


def test_the_run_waits_on_if_its_holder_wants_it(visit: Visit, cast: Cast, machine: str) -> None:
    run = begin(cast.api(test=True), "x [takeover]", machine_id=machine)["id"]
    drive_all()
    ana = visit("ana")
    lease = in_control(ana, machine)
    ana.post(f"/machines/{machine}/control/give-back", {"lease": lease.id, "keep_waiting": "1"})
    drive_all()
    assert status_of(run) == "awaiting_human"


@pytest.mark.parametrize(
    ("sent", "command", "params"),
    [
        ({"at.x": "150", "at.y": "100"}, "click", {"x": 150, "y": 100, "button": "left", "count": 1}),
        ({"px": "75", "py": "50", "shown": "640"}, "click", {"x": 150, "y": 100, "button": "left", "count": 1}),
        ({"px": "640", "py": "400", "shown": "640"}, "click", {"x": 1279, "y": 799, "button": "left", "count": 1}),
        ({"px": "x", "py": "²", "shown": "-1"}, "click", {"x": 0, "y": 0, "button": "left", "count": 1}),
        ({"at.x": "1", "at.y": "2", "how": "double"}, "click", {"x": 1, "y": 2, "button": "left", "count": 2}),
        ({"at.x": "1", "at.y": "2", "how": "right"}, "click", {"x": 1, "y": 2, "button": "right", "count": 1}),
        ({"key": "enter"}, "key_press", {"key": "enter"}),
        ({"key": "ctrl+c"}, "key_combo", {"keys": ["ctrl", "c"]}),
        ({"scroll": "down"}, "scroll", {"x": 640, "y": 400, "direction": "down", "amount": 3}),
    ],
)
def test_what_a_form_means(
    visit: Visit, machine: str, sent: dict[str, str], command: str, params: dict[str, Any]
) -> None:
    ana = visit("ana")
    lease = in_control(ana, machine)
    act(ana, lease, **sent)
    assert done(machine) == [(command, params)]


def test_text_is_typed_with_or_without_the_enter_key(visit: Visit, machine: str) -> None:
    ana = visit("ana")
    lease = in_control(ana, machine)
    for fields in ({"text": "a"}, {"text": "b", "enter": "1"}, {"text": "", "enter": "1"}, {"text": ""}):
        act(ana, lease, **fields)
    assert [command for command, _ in done(machine)] == ["type_text", "type_text", "key_press", "key_press"]


def test_a_click_on_an_old_picture_does_nothing(visit: Visit, machine: str) -> None:
    ana = visit("ana")
    lease = in_control(ana, machine)
    for seen in (str(int(time.time()) - 30), "", "x", "9" * 20):
        assert "Nothing was clicked" in act(ana, lease, **{"at.x": "1", "at.y": "2", "seen": seen})
    assert "Nothing was clicked" not in act(ana, lease, text="typed all the same", seen="0")
    assert [command for command, _ in done(machine)] == ["type_text"]


def test_looking_keeps_control_and_silence_ends_it(visit: Visit, machine: str) -> None:
    ana = visit("ana")
    lease = in_control(ana, machine)
    pass_time({"id": lease.id}, silent=20)
    visit("olga").get(f"/machines/{machine}/screen")
    lease.refresh_from_db()
    assert (lease.expires_at - timezone.now()).total_seconds() < 15  # another one's look is no sign of its holder
    ana.get(f"/machines/{machine}/screen")
    lease.refresh_from_db()
    assert (lease.expires_at - timezone.now()).total_seconds() > 25
    lapse({"id": lease.id})
    assert "You control" not in text(ana.get(f"/machines/{machine}/screen"))
    assert "only while they control it" in act(ana, lease, text="late")
    olga = visit("olga")
    mine = in_control(olga, machine)
    lapse({"id": mine.id})
    assert "not the machine’s current one" in act(olga, mine, text="late").replace("&#x27;", "’")
    assert done(machine) == []


def test_one_has_control_and_the_others_are_told_who(visit: Visit, cast: Cast, machine: str) -> None:
    lease = in_control(visit("ana"), machine)
    olga = visit("olga")
    page = text(olga.get(f"/machines/{machine}/screen"))
    assert "Ana controls this machine; you watch." in page
    assert "Take control" not in page
    olga.post(f"/machines/{machine}/control")
    act(olga, lease, text="mine")
    olga.post(f"/machines/{machine}/control/give-back", {"lease": lease.id})
    assert TakeoverLease.objects.get(machine_id=machine, ended_at=None).holder["name"] == "Ana"
    assert done(machine) == []


def test_nothing_of_a_private_takeover_is_shown_to_others(visit: Visit, machine: str) -> None:
    ana, olga = visit("ana"), visit("olga")
    assert in_control(ana, machine, private="1").private
    page = read(text(olga.get(f"/machines/{machine}/screen")))
    assert page.images == []
    assert olga.get(f"/machines/{machine}/screen.png").status_code == 409
    assert ana.get(f"/machines/{machine}/screen.png").status_code == 200


def test_who_wants_it_in_private_and_has_it_otherwise_is_told_that_others_see_the_screen(
    visit: Visit, machine: str
) -> None:
    lease = in_control(visit("ana"), machine)
    another_tab = visit("ana").post(f"/machines/{machine}/control", {"private": "1"})
    assert "not in private: others see the screen" in text(another_tab)
    assert not TakeoverLease.objects.get(id=lease.id).private


def test_a_machine_that_does_not_run_and_a_run_without_one_say_so(visit: Visit, cast: Cast, machine: str) -> None:
    api, ana = cast.api(test=True), visit("ana")
    own = begin(api, "x [pause:0]")["id"]
    assert ana.get(f"/runs/{own}/screen")["Location"] == f"/runs/{own}"
    api.post(f"/machines/{machine}/stop")
    assert "There is no screen to see" in text(ana.get(f"/machines/{machine}/screen"))
    assert ana.get(f"/machines/{machine}/screen.png").status_code == 409
    assert "Take control" not in text(ana.post(f"/machines/{machine}/control"))


def test_a_note_that_is_too_long_gives_nothing_back(visit: Visit, machine: str) -> None:
    ana = visit("ana")
    lease = in_control(ana, machine)
    page = ana.post(f"/machines/{machine}/control/give-back", {"lease": lease.id, "note": "x" * 2001})
    assert "at most 2000 characters" in text(page)
    assert TakeoverLease.objects.filter(id=lease.id, ended_at=None).exists()


def test_what_the_api_took_the_page_does_not_hold(visit: Visit, cast: Cast, machine: str) -> None:
    take(cast.api(test=True), machine)
    assert "controls this machine; you watch" in text(visit("alice").get(f"/machines/{machine}/screen"))


@pytest.mark.parametrize(("kind", "words"), [("terminal", "exec bash --norc"), ("browser", "open its address anew")])
def test_whoever_drives_reads_what_stands_still_and_what_does_not(
    visit: Visit, machine: str, kind: str, words: str
) -> None:
    Machine.objects.filter(id=machine).update(kind=kind)
    olga = visit("olga")
    page = text(olga.get(f"/machines/{machine}/screen"))
    assert "stands still until you give control back" in page
    assert words not in page
    assert words in text(olga.post(f"/machines/{machine}/control", {}))


def test_a_machine_that_was_stopped_says_so_and_shows_no_picture(visit: Visit, cast: Cast, machine: str) -> None:
    ana = visit("ana")
    lease = in_control(ana, machine)
    card = text(ana.get("/machines"))
    assert "Ana, by hand" in card
    cast.api(test=True).post("/stop", {"scope": "machine", "id": machine, "reason": "It mails <everybody>."})
    card, page = text(ana.get("/machines")), text(ana.get(f"/machines/{machine}/screen"))
    for shown in (card, page):
        assert "Stands still" in shown
        assert "It mails &lt;everybody&gt;." in shown
    assert "of the screen now" not in card
    assert f"/machines/{machine}/screen.png" not in page
    assert "Type and press Enter" not in page
    answer = ana.post(f"/machines/{machine}/control/give-back", {"lease": lease.id})
    assert "You gave control back." in text(answer)
    assert "Take control" not in text(ana.get(f"/machines/{machine}/screen"))
