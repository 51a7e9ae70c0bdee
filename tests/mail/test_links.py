"""The link in a mail: it opens a page for members of the team and decides nothing until a form is sent."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.core import signing
from django.db.models import F
from django.test import Client
from django.utils import timezone

from accounts.models import Membership, Team
from approvals.answers.answer import Answer
from approvals.deciding import decide
from approvals.handling import claim
from approvals.mail.signed_links import SALT, link, request_of
from approvals.models import Approval, Decision
from runs.models import Run, Screenshot
from tests.cast import BY_PASSWORD, Api, Cast
from tests.mail.conftest import Ask
from tests.pages.conftest import Visit, Visitor, text
from tests.pages.reading import read

pytestmark = pytest.mark.django_db


def path_of(request: Approval, cast: Cast, name: str = "ana") -> str:
    return "/d/" + link(request, cast.people[name].id).rpartition("/")[2]


def test_other_methods_are_refused(visit: Visit, ask: Ask, cast: Cast) -> None:
    path = path_of(ask(), cast)
    ana = visit("ana")
    assert [ana.client.generic(method, path).status_code for method in ("PUT", "PATCH", "DELETE")] == [405] * 3


def test_a_form_from_elsewhere_is_refused(ask: Ask, cast: Cast) -> None:
    request = ask()
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.people["ana"], backend=BY_PASSWORD)
    assert client.post(path_of(request, cast), {"verdict": "approve"}).status_code == 403
    assert not Decision.objects.exclude(via="timeout").exists()  # who came too late settled the expiry


def test_without_signing_in_a_form_decides_nothing(ask: Ask, cast: Cast) -> None:
    path = path_of(ask(), cast)
    answer = Client().post(path, {"verdict": "approve"})
    assert (answer.status_code, answer["Location"]) == (302, f"/sign-in?next={quote(path)}")
    assert not Decision.objects.exclude(via="timeout").exists()  # who came too late settled the expiry


# who follows Ana's link -> the answer, whether the page has buttons, the answer to an approval, whether it counts
FOLLOWING = [
    ("ana", 200, True, 302, True),
    ("olga", 200, True, 302, True),
    ("bob", 200, False, 403, False),
    ("alice", 200, False, 403, False),
    ("charlie", 404, False, 404, False),
]


@pytest.mark.parametrize(("name", "status", "buttons", "answer", "counts"), FOLLOWING)
def test_a_link_gives_nobody_rights(
    visit: Visit, ask: Ask, cast: Cast, name: str, status: int, buttons: bool, answer: int, counts: bool
) -> None:
    path, person = path_of(ask(), cast), visit(name)
    page = person.get(path)
    assert page.status_code == status
    assert ('name="verdict"' in text(page)) is buttons
    assert person.post(path, {"verdict": "approve"}, follow=False).status_code == answer
    assert Decision.objects.filter(actor__id=cast.people.get(name, cast.team).id).exists() is counts


def test_a_removed_person_finds_nothing(visit: Visit, ask: Ask, cast: Cast) -> None:
    path, ana = path_of(ask(), cast), visit("ana")
    Membership.objects.filter(user=cast.people["ana"]).delete()
    assert ana.get(path).status_code == 404
    assert ana.post(path, {"verdict": "approve"}).status_code == 404
    assert not Decision.objects.exclude(via="timeout").exists()  # who came too late settled the expiry


def test_a_self_approval_is_refused_by_link_too(visit: Visit, ask: Ask, cast: Cast) -> None:
    Team.objects.update(forbid_self_approval="always")
    path, ana = path_of(ask(by="ana"), cast), visit("ana")
    page = text(ana.get(path))
    assert 'value="approve"' not in page
    assert 'value="reject"' in page
    assert ana.post(path, {"verdict": "approve"}).status_code == 403
    assert not Decision.objects.exclude(via="timeout").exists()  # who came too late settled the expiry


def test_the_link_leads_to_its_team_and_world_whatever_the_session_looks_at(
    visit: Visit, ask: Ask, cast: Cast, strangers: Cast
) -> None:
    Membership.objects.create(user=cast.people["ana"], team=strangers.team, roles=["viewer"])
    path, ana = path_of(ask(), cast), visit("ana", "live")
    session = ana.client.session
    session["team"] = strangers.team.id
    session.save()
    page = ana.get(path)
    assert page.status_code == 200
    assert read(text(page)).images[0]["src"] == f"{path}/pictures/2"
    picture = ana.get(f"{path}/pictures/2")
    assert (picture.status_code, picture["Content-Type"]) == (200, "image/png")
    assert "no-store" in picture["Cache-Control"]
    assert "Approved by you" in text(ana.post(path, {"verdict": "approve"}))
    assert (ana.client.session["team"], ana.client.session["mode"]) == (strangers.team.id, "live")


# --- expired and forged


def dead(person: Visitor, path: str, words: str, status: int) -> None:
    for answer in (person.get(path), person.post(path, {"verdict": "approve"}), person.get(f"{path}/pictures/2")):
        assert answer.status_code == status
        assert words in text(answer)
        assert 'href="/"' in text(answer)
    assert not Decision.objects.exclude(via="timeout").exists()  # who came too late settled the expiry


def test_a_forged_link_says_so(visit: Visit, ask: Ask, cast: Cast) -> None:
    path, ana = path_of(ask(), cast), visit("ana")
    flipped = "A" if path[-1] != "A" else "B"
    other_salt = signing.dumps([Approval.objects.get().id, cast.people["ana"].id], salt="something else")
    for forged in (
        path[:-1] + flipped,
        "/d/x",
        f"/d/{other_salt}",
        "/d/" + signing.dumps(["apr_none", "u"], salt=SALT),
    ):
        dead(ana, forged, "This link is not valid", 404)


def test_a_link_is_dead_when_the_time_of_its_request_is_over(visit: Visit, ask: Ask, cast: Cast) -> None:
    request = ask(awaiting_human_timeout_seconds=3600)
    path, ana = path_of(request, cast), visit("ana")
    Approval.objects.update(expires_at=F("expires_at") - timedelta(seconds=3590))
    assert ana.get(path).status_code == 200
    Approval.objects.update(expires_at=timezone.now())
    dead(ana, path, "This link has expired", 410)


def test_a_link_lives_on_with_its_request(visit: Visit, ask: Ask, cast: Cast) -> None:
    request = ask(awaiting_human_timeout_seconds=3600)
    path = path_of(request, cast)
    Approval.objects.update(expires_at=F("expires_at") + timedelta(days=1))
    assert visit("ana").get(path).status_code == 200


def test_a_link_is_dead_after_a_week(visit: Visit, ask: Ask, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    week = timedelta(days=7).total_seconds()
    now = timezone.now().timestamp()
    request = ask()
    paths = []
    for age in (week - 60, week + 60):
        monkeypatch.setattr("django.core.signing.time.time", lambda age=age: now - age)
        paths.append(path_of(request, cast))
    monkeypatch.undo()
    assert visit("ana").get(paths[0]).status_code == 200
    dead(visit("ana"), paths[1], "This link has expired", 410)


def test_nobody_needs_to_sign_in_to_hear_that_a_link_is_dead(client: Client) -> None:
    assert client.get("/d/x").status_code == 404


def test_a_link_tells_nothing_but_ids(ask: Ask, cast: Cast) -> None:
    request = ask()
    token = path_of(request, cast).removeprefix("/d/")
    assert signing.loads(token, salt=SALT) == [request.id, cast.people["ana"].id]
    assert request_of(token) == request


# --- the page


def test_the_page_has_the_request_the_picture_the_form_and_two_buttons(visit: Visit, ask: Ask, cast: Cast) -> None:
    request = ask("Pay for it", human_in_the_loop=True, permission_mode="approval")
    answer = visit("ana").get(path_of(request, cast))
    html = text(answer)
    page = read(html)
    assert request.title in html
    assert 'cx="101" cy="200"' in html
    assert html.count("<button") == 2
    assert f'name="action_hash" value="{request.action_hash}"' in html
    assert page.links == ["/"]
    assert len(page.forms) == 1
    assert (page.headings.count("h1"), page.twice(), page.nameless_controls()) == (1, set(), [])
    assert (page.inline, page.foreign) == ([], [])
    assert all(image["alt"] for image in page.images)
    assert "<script" not in html
    assert "<nav" not in html
    assert "no-store" in answer["Cache-Control"]


def test_rejecting_by_link_tells_the_agent_why(visit: Visit, ask: Ask, cast: Cast) -> None:
    request = ask()
    page = text(visit("ana").post(path_of(request, cast), {"verdict": "reject", "note": "Not today"}))
    assert "Rejected by you" in page
    assert "“Not today”" in page
    assert 'name="verdict"' not in page
    assert Run.objects.get(id=request.run_id).error["message"] == "Not today"  # type: ignore[index]


def test_a_lost_race_is_a_fact(visit: Visit, ask: Ask, cast: Cast) -> None:
    request = ask()
    path = path_of(request, cast)
    decide(cast.actor("olga", test=True), request, Answer("reject", note="wrong account"))
    answer = visit("ana").post(path, {"verdict": "approve"})
    assert answer.status_code == 200
    assert "Rejected by Olga" in text(answer)
    assert "“wrong account”" in text(answer)
    assert "Your approval came too late and changed nothing." in text(answer)
    assert Decision.objects.get(counts=False).via == "link"


def test_sending_the_form_twice_decides_once(visit: Visit, ask: Ask, cast: Cast) -> None:
    path, ana = path_of(ask(), cast), visit("ana")
    for _ in range(2):
        assert "Approved by you" in text(ana.post(path, {"verdict": "approve"}))
    assert Decision.objects.count() == 1


def test_a_claim_of_somebody_else_is_told(visit: Visit, ask: Ask, cast: Cast) -> None:
    request = ask()
    claim(cast.actor("olga", test=True), request.id)
    answer = visit("ana").post(path_of(request, cast), {"verdict": "approve"})
    assert answer.status_code == 409
    assert "Olga is working on this request" in text(answer)


def test_a_question_comes_back_with_what_was_typed(visit: Visit, ask: Ask, cast: Cast) -> None:
    request = ask("x [questions:2]")
    path, ana = path_of(request, cast), visit("ana")
    answer = ana.post(path, {"verdict": "answer", "q.q1": "Sales", "note": "hm"})
    assert answer.status_code == 422
    assert "Needs an answer." in text(answer)
    assert 'value="Sales" checked' in text(answer)
    assert ">hm</textarea>" in text(answer)
    assert "Answered by you" in text(ana.post(path, {"verdict": "answer", "q.q1": "Sales", "q.q2": "Formal"}))


def test_values_are_asked_for_and_secrets_never_come_back(visit: Visit, ask: Ask, cast: Cast) -> None:
    path, ana = path_of(ask("x [secret]"), cast), visit("ana")
    assert 'name="v.password" type="password" value=""' in text(ana.get(path))
    page = text(ana.post(path, {"verdict": "submit", "v.password": "hunter2hunter2"}))
    assert "[redacted]" in page
    assert "hunter2" not in page


def test_a_plan_is_approved_or_sent_back(visit: Visit, ask: Ask, cast: Cast) -> None:
    path, ana = path_of(ask("x", human_in_the_loop=True, permission_mode="plan"), cast), visit("ana")
    page = text(ana.get(path))
    assert "Approve the plan" in page
    assert "Send back" in page
    ana.post(path, {"verdict": "reject", "note": "slower"})
    assert Decision.objects.get().verdict == "revise"


def test_a_vote_is_thanked_for_and_the_request_waits_on(visit: Visit, ask: Ask, cast: Cast, test_key: Api) -> None:
    quorum = [{"group": "anyone", "count": 2}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum})
    path, ana = path_of(ask("x [steps:1]"), cast), visit("ana")
    page = text(ana.post(path, {"verdict": "approve"}))
    assert "It still waits for others." in page
    assert 'value="approve"' not in page
    assert 'value="reject"' in page
    assert "Approved by you" in text(visit("olga").post(path, {"verdict": "approve"}))


def test_a_decision_by_link_can_be_undone_there(visit: Visit, ask: Ask, cast: Cast) -> None:
    Team.objects.update(undo_window_seconds=60)
    path, ana = path_of(ask(), cast), visit("ana")
    assert 'name="undo"' in text(ana.post(path, {"verdict": "approve"}))
    assert 'value="approve"' in text(ana.post(path, {"undo": "1"}))
    assert Approval.objects.get().status == "pending"


def test_a_form_without_a_verdict_decides_nothing(visit: Visit, ask: Ask, cast: Cast) -> None:
    answer = visit("ana").post(path_of(ask(), cast), {"note": "?"})
    assert answer.status_code == 422
    assert not Decision.objects.exclude(via="timeout").exists()  # who came too late settled the expiry


def test_what_a_terminal_showed_stands_as_text_on_the_page(visit: Visit, ask: Ask, cast: Cast) -> None:
    request = ask()
    Screenshot.objects.filter(run_id=request.run_id).update(text="agent@machine:~$ ls\n<b>notes</b>")
    page = text(visit("ana").get(path_of(request, cast)))
    assert "agent@machine:~$ ls\n&lt;b&gt;notes&lt;/b&gt;" in page
