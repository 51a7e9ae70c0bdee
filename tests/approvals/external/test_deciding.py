"""External requests are decided as those of runs are: who, how many, until when, and what may be taken back."""

from datetime import timedelta
from typing import Any

import pytest

from accounts.models import Group, Team
from approvals import clock
from approvals.answers.answer import Answer
from approvals.deciding import decide as decide_now
from approvals.mail import reminders
from approvals.models import Approval, ApprovalEvent, Decision, Policy
from tests.approvals.external.asking import BODIES, MAIL, NO, ask, asker, decide, read, refused
from tests.cast import Api, Cast

pytestmark = pytest.mark.django_db


def types(row: dict[str, Any]) -> list[str]:
    return list(ApprovalEvent.objects.filter(approval_id=row["id"]).order_by("seq").values_list("type", flat=True))


def pass_time(row: dict[str, Any], seconds: float) -> None:
    """As if the request had been opened earlier."""
    approval = Approval.objects.get(id=row["id"])
    back = timedelta(seconds=seconds)
    for name in ("created_at", "expires_at", "effective_at", "undo_until", "remind_at"):
        if (at := getattr(approval, name)) is not None:
            setattr(approval, name, at - back)
    approval.save()


# --- who


@pytest.mark.parametrize("answer", [{"verdict": "approve"}, NO])
@pytest.mark.parametrize("rule", ["never", "four_eyes", "always"])
def test_a_key_never_decides_what_it_asked(cast: Cast, live: Api, rule: str, answer: dict[str, Any]) -> None:
    Team.objects.update(forbid_self_approval=rule)
    row = ask(live)
    assert refused(decide(live, row, **answer)) == (403, "SELF_APPROVAL_FORBIDDEN")
    assert read(live, row)["status"] == "pending"
    assert decide(cast.api(owner="ana"), row, **answer).status_code == 200


OWN = [("never", True, 200), ("four_eyes", False, 200), ("four_eyes", True, 403), ("always", False, 403)]


@pytest.mark.parametrize(("rule", "four_eyes", "status"), OWN)
def test_for_its_owner_and_their_other_keys_the_rule_of_the_team_holds(
    cast: Cast, rule: str, four_eyes: bool, status: int
) -> None:
    Team.objects.update(forbid_self_approval=rule)
    for decider in (cast.api(owner="olga"), None):
        row = ask(asker(cast, owner="olga"), four_eyes=four_eyes)
        if decider is None:
            page = cast.browser("olga").post(f"/approvals/{row['id']}/decide", {"verdict": "approve"})
            assert page.status_code in (200, 302, 403)
            assert Approval.objects.get(id=row["id"]).status == ("approved" if status == 200 else "pending")
        else:
            assert decide(decider, row).status_code == status
        assert (
            decide(cast.api(owner="olga"), ask(asker(cast, owner="olga"), four_eyes=four_eyes), **NO).status_code == 200
        )


def test_who_may_only_look_on_decides_nothing(cast: Cast) -> None:
    row = ask(asker(cast))
    assert refused(decide(cast.api(scopes=frozenset({"approvals:read"})), row)) == (403, "INSUFFICIENT_SCOPE")


@pytest.mark.parametrize("kind", BODIES)
def test_the_same_decision_again_is_the_same_and_another_comes_too_late(cast: Cast, live: Api, kind: str) -> None:
    row = ask(asker(cast), kind)
    first = decide(live, row).json()
    again = decide(live, row).json()
    assert again["decision"]["id"] == first["decision"]["id"]
    assert refused(decide(live, row, **NO)) == (409, "ALREADY_DECIDED")
    assert Decision.objects.filter(counts=True).count() == 1
    assert types(row) == ["requested", "decided"]


def test_an_answer_that_is_missing_is_named_with_a_call_that_works(cast: Cast, live: Api) -> None:
    questions = [*BODIES["question"]["questions"], {"question": "How many?"}]
    row = ask(asker(cast), "question", questions=questions)
    answer = decide(live, row, verdict="answer", answers={"q1": "Red"})
    assert refused(answer) == (422, "ANSWER_REQUIRED")
    error = answer.json()["error"]
    assert error["missing"] == ["q2"]
    method, path = error["send_to"].split(" ")
    assert live.request(method, path.removeprefix("/v1"), error["example"]).json()["approval"]["status"] == "answered"


def test_a_rejection_reaches_the_program_with_its_reason(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program)
    decide(live, row, **NO)
    decision = read(program, row)["decision"]
    assert (decision["verdict"], decision["effect"], decision["note"]) == ("reject", "none", "Not today.")


def test_a_quorum_of_the_call_needs_all_its_people(cast: Cast) -> None:
    group = Group.objects.create(team=cast.team, name="finance")
    group.users.set([cast.people["ana"]])
    quorum = [{"group": "finance", "count": 1}, {"group": "anyone", "count": 1}]
    row = ask(asker(cast), quorum=quorum)
    assert row["eligible"] == ["finance", "anyone"]
    one, two = (Approval.objects.get(id=row["id"]) for _ in "12")
    assert decide_now(cast.actor("ana"), one, Answer("approve")).decision is None
    assert decide_now(cast.actor("ana"), one, Answer("approve")).decision is None
    assert decide_now(cast.actor("adam"), two, Answer("approve")).approval.status == "approved"
    assert types(row) == ["requested", "vote", "decided"]


def test_an_edit_clears_the_votes_before_it(cast: Cast) -> None:
    row = ask(asker(cast), quorum=[{"group": "anyone", "count": 2}])
    ana, adam = cast.api(owner="ana"), cast.api(owner="adam")
    edit = {"name": "mail.send", "params": {"to": "b@shop.test"}}
    decide(ana, row)
    changed = decide(adam, row, verdict="approve", edited_action=edit).json()["approval"]
    assert (len(changed["votes"]), changed["edited_action"]) == (1, edit)
    assert changed["action_hash"] != row["action_hash"]
    assert decide(ana, row).json()["approval"]["status"] == "approved"


# --- working on it


def test_claim_assign_extend_comment_and_release_stand_in_its_log(cast: Cast, live: Api) -> None:
    row = ask(asker(cast), timeout_seconds=3600)
    path = f"/approvals/{row['id']}"
    ana = cast.people["ana"].id
    for verb, body in (("claim", {}), ("comment", {"text": "Why?"}), ("assign", {"assignee": ana}),
                       ("extend", {"seconds": 60}), ("release", {})):  # fmt: skip
        assert live.post(f"{path}/{verb}", body).status_code == 200
    assert types(row) == ["requested", "claimed", "comment", "assigned", "extended", "released"]
    assert read(live, row)["assignee"] == ana


def test_a_claim_keeps_others_from_deciding(cast: Cast, live: Api) -> None:
    row = ask(asker(cast))
    cast.api(owner="ana").post(f"/approvals/{row['id']}/claim")
    assert refused(decide(live, row)) == (409, "APPROVAL_CLAIMED")


# --- silence


@pytest.mark.parametrize(
    ("kind", "on_timeout", "status", "event"),
    [
        ("tool", "expire", "expired", "expired"),
        ("tool", "reject", "rejected", "decided"),
        ("question", "expire", "expired", "expired"),
        ("question", "reject", "rejected", "decided"),
        ("question", "default_answer", "answered", "decided"),
        ("input", "default_answer", "answered", "decided"),
    ],
)
def test_silence_does_what_was_asked_for(
    cast: Cast, live: Api, kind: str, on_timeout: str, status: str, event: str
) -> None:
    program = asker(cast)
    row = ask(program, kind, timeout_seconds=60, on_timeout=on_timeout)
    assert clock.expiries() == 0
    pass_time(row, 61)
    assert clock.expiries() == 1
    assert clock.expiries() == 0
    after = read(program, row)
    assert (after["status"], types(row)) == (status, ["requested", event])
    if on_timeout == "default_answer":
        assert after["decision"]["via"] == "timeout"
    assert refused(decide(live, row)) == (409, "APPROVAL_EXPIRED")


def test_who_comes_late_settles_the_expiry_though_the_clock_stands(cast: Cast, live: Api) -> None:
    row = ask(asker(cast), timeout_seconds=60)
    pass_time(row, 61)
    assert refused(decide(live, row)) == (409, "APPROVAL_EXPIRED")
    assert (read(live, row)["status"], types(row)) == ("expired", ["requested", "expired"])


@pytest.mark.parametrize(("on_timeout", "status"), [("expire", "expired"), ("reject", "rejected")])
def test_who_takes_it_back_too_late_settles_the_expiry(cast: Cast, on_timeout: str, status: str) -> None:
    program = asker(cast)
    row = ask(program, timeout_seconds=60, on_timeout=on_timeout)
    pass_time(row, 61)
    assert refused(program.post(f"/approvals/{row['id']}/cancel")) == (409, "APPROVAL_EXPIRED")
    assert read(program, row)["status"] == status
    assert refused(program.post(f"/approvals/{row['id']}/cancel")) == (409, "APPROVAL_EXPIRED")


def test_people_are_reminded(cast: Cast) -> None:
    row = ask(asker(cast), timeout_seconds=100)
    pass_time(row, 51)
    assert reminders.remind_due() == 1
    assert Approval.objects.get(id=row["id"]).reminders == 1


# --- the undo window


@pytest.fixture
def window(cast: Cast) -> None:
    Team.objects.filter(id=cast.team.id).update(undo_window_seconds=10)


@pytest.mark.usefixtures("window")
@pytest.mark.parametrize("kind", BODIES)
def test_within_the_window_a_decision_is_taken_back(cast: Cast, live: Api, kind: str) -> None:
    program = asker(cast)
    row = ask(program, kind)
    result = decide(live, row).json()
    assert (result["resumed"], result["approval"]["undo_until"]) == (False, result["approval"]["effective_at"])
    late = program.put(f"/approvals/{row['id']}/result", {"outcome": "executed"})
    assert refused(late) == (409, "INVALID_STATE")
    assert live.post(f"/approvals/{row['id']}/undo").status_code == 200
    assert (read(program, row)["status"], types(row)) == ("pending", ["requested", "decided", "undone"])
    assert decide(live, row, **NO).status_code == 200
    pass_time(row, 11)
    assert clock.effects() == 1
    assert types(row) == ["requested", "decided", "undone", "decided", "effective"]
    assert read(program, row)["decision"]["verdict"] == "reject"


@pytest.mark.usefixtures("window")
def test_a_no_within_the_window_stands_once_something_else_takes_its_place(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program, external_id="a")
    decide(live, row, **NO)
    new = ask(program, external_id="a", action=MAIL | {"params": {"to": "z"}})
    assert new["previous_approval_id"] == row["id"]
    assert refused(live.post(f"/approvals/{row['id']}/undo")) == (409, "UNDO_NOT_POSSIBLE")
    assert clock.effects() == 1
    assert (read(program, row)["status"], read(program, new)["status"]) == ("rejected", "pending")


@pytest.mark.usefixtures("window")
def test_after_the_window_it_counts(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program)
    decide(live, row)
    pass_time(row, 11)
    assert clock.effects() == 1
    assert clock.effects() == 0
    assert refused(live.post(f"/approvals/{row['id']}/undo")) == (409, "UNDO_NOT_POSSIBLE")
    assert program.put(f"/approvals/{row['id']}/result", {"outcome": "executed"}).status_code == 200


@pytest.mark.usefixtures("window")
def test_what_takes_its_place_within_the_window_leaves_nothing_behind(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program, external_id="a")
    assert decide(live, row, verdict="approve", remember=True).json()["remembered"] is True
    ask(program, external_id="a", action=MAIL | {"params": {"to": "z"}})
    pass_time(row, 11)
    assert clock.effects() == 0
    assert (read(live, row)["status"], types(row)) == ("void", ["requested", "decided", "void"])
    assert not Policy.objects.filter(revoked_at__isnull=True).exists()


# --- taking it back


def test_who_asked_takes_it_back_and_an_admin_does(cast: Cast, live: Api) -> None:
    program = asker(cast)
    for actor in ("program", "admin"):
        row = ask(program)
        path = f"/approvals/{row['id']}/cancel"
        if actor == "program":
            answer = program.post(path, {"reason": "No longer needed."})
            assert answer.json()["decision"]["note"] == "No longer needed."
        else:
            answer = cast.browser("adam").post(f"/v1{path}", content_type="application/json")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        assert answer.json()["decision"]["via"] == "cancel"
        assert program.post(path).json() == program.post(path).json()
        assert refused(decide(live, row)) == (409, "APPROVAL_CANCELLED")
        assert types(row) == ["requested", "cancelled"]


def test_another_key_does_not_take_it_back(cast: Cast, live: Api) -> None:
    row = ask(asker(cast))
    assert refused(live.post(f"/approvals/{row['id']}/cancel")) == (403, "NOT_ELIGIBLE")
    assert refused(live.put(f"/approvals/{row['id']}/result", {"outcome": "skipped"})) == (403, "NOT_ELIGIBLE")


def test_what_was_decided_is_not_taken_back(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program)
    decide(live, row)
    assert refused(program.post(f"/approvals/{row['id']}/cancel")) == (409, "ALREADY_DECIDED")


# --- the receipt


@pytest.mark.parametrize("outcome", ["executed", "skipped", "failed"])
def test_the_program_completes_the_receipt_once(cast: Cast, live: Api, outcome: str) -> None:
    program = asker(cast)
    row = ask(program)
    path = f"/approvals/{row['id']}/result"
    assert refused(program.put(path, {"outcome": outcome})) == (409, "INVALID_STATE")
    decide(live, row)
    first = program.put(path, {"outcome": outcome, "text": "So it was."})
    receipt = first.json()["decision"]["receipt"]
    assert (receipt["outcome"], receipt["error"]) == (outcome, "So it was." if outcome == "failed" else None)
    assert (receipt["executed_at"] is None) == (outcome == "skipped")
    assert receipt["delivered_at"] == first.json()["result"]["at"]
    assert first.json()["result"] | {"at": None} == {"outcome": outcome, "text": "So it was.", "at": None}
    assert program.put(path, {"outcome": outcome, "text": "So it was."}).json() == first.json()
    assert refused(program.put(path, {"outcome": "failed", "text": "No."})) == (409, "INVALID_STATE")
    assert types(row) == ["requested", "decided", "result"]


def test_what_was_rejected_can_only_have_been_skipped(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program)
    decide(live, row, **NO)
    path = f"/approvals/{row['id']}/result"
    assert refused(program.put(path, {"outcome": "executed"})) == (409, "INVALID_STATE")
    assert program.put(path, {"outcome": "skipped"}).status_code == 200


def test_what_nobody_decided_has_no_result(cast: Cast) -> None:
    program = asker(cast)
    row = ask(program, timeout_seconds=60)
    pass_time(row, 61)
    clock.expiries()
    assert refused(program.put(f"/approvals/{row['id']}/result", {"outcome": "skipped"})) == (409, "INVALID_STATE")


# --- policies


def policy(api: Api, **fields: Any) -> str:
    answer = api.post("/permissions", {"tool": "mail.send"} | fields)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["id"])


def test_an_allow_answers_at_once_and_is_counted(cast: Cast, live: Api) -> None:
    allow = policy(live, effect="allow", host="shop.test")
    row = ask(asker(cast, owner="ana"))
    decision = row["decision"]
    assert (row["status"], decision["via"], decision["policy_id"]) == ("approved", "policy", allow)
    assert decision["actor"]["type"] == "system"
    assert Policy.objects.get(id=allow).uses == 1
    assert types(row) == ["requested", "decided"]
    assert ask(asker(cast, owner="ana"), action=MAIL | {"url": None, "host": "other.test"})["status"] == "pending"


def test_conditions_look_into_what_the_program_would_do(cast: Cast, live: Api) -> None:
    policy(live, effect="allow", when=[{"path": "to", "op": "eq", "value": "a@shop.test"}])
    program = asker(cast, owner="ana")
    assert ask(program)["status"] == "approved"
    assert ask(program, action=MAIL | {"params": {"to": "b@shop.test"}})["status"] == "pending"
    assert ask(program, action=MAIL | {"params": {}})["status"] == "pending"


def test_a_deny_answers_at_once_and_says_why(cast: Cast, live: Api) -> None:
    deny = policy(live, effect="deny", tool="mail.*")
    for kind in ("tool", "approval", "question"):
        row = ask(asker(cast), kind, action=MAIL)
        assert (row["status"], row["decision"]["policy_id"]) == ("rejected", deny)
        assert row["decision"]["note"] == "A policy denies mail.send."


def test_an_allow_answers_no_question(cast: Cast, live: Api) -> None:
    policy(live, effect="allow")
    assert ask(asker(cast, owner="ana"), "question", action=MAIL)["status"] == "pending"
    assert ask(asker(cast, owner="ana"), "approval", action=MAIL)["status"] == "approved"


def test_what_asks_adds_its_people(cast: Cast, live: Api) -> None:
    asks = policy(live, effect="ask", quorum=[{"group": "anyone", "count": 2}], four_eyes=True)
    policy(live, effect="allow")
    row = ask(asker(cast), quorum=[{"group": "anyone", "count": 1}])
    assert (row["status"], row["four_eyes"], row["can_remember"]) == ("pending", True, False)
    assert [need["count"] for need in row["quorum"]] == [2]
    assert row["message"] == "A policy asks before mail.send."
    assert Approval.objects.get().policy_ids == [asks]


def test_the_risk_floor_of_the_team_asks(cast: Cast, live: Api) -> None:
    policy(live, effect="allow")
    program = asker(cast, owner="ana")
    assert ask(program)["status"] == "approved"
    assert ask(program, action=MAIL | {"risk": "spend"})["status"] == "pending"


def test_what_people_allow_themselves_does_not_count_for_their_own_programs(cast: Cast, live: Api) -> None:
    Team.objects.update(forbid_self_approval="always")
    policy(live, effect="allow")
    assert ask(asker(cast, owner="olga"))["status"] == "pending"
    assert ask(asker(cast, owner="ana"))["status"] == "approved"


def test_a_remembered_approval_counts_for_the_next_request(cast: Cast, live: Api) -> None:
    program = asker(cast, owner="ana")
    row = ask(program)
    assert row["can_remember"] is True
    result = decide(live, row, verdict="approve", remember=True).json()
    assert result["remembered"] is True
    assert ask(program)["decision"]["policy_id"] == result["policy_id"]
    assert ask(program, end_user="u1")["status"] == "pending"


def test_there_is_no_run_to_remember_it_for(cast: Cast, live: Api) -> None:
    answer = decide(live, ask(asker(cast)), verdict="approve", remember="run")
    assert refused(answer) == (422, "VALIDATION_ERROR")
    assert not Policy.objects.exists()


def test_policies_of_the_other_world_do_not_count(cast: Cast, test_key: Api) -> None:
    policy(test_key, effect="deny")
    assert ask(asker(cast))["status"] == "pending"


def test_a_request_that_waits_holds_up_no_run(cast: Cast, live: Api) -> None:
    row = ask(asker(cast))
    summary = live.get("/approvals").json()["summary"]
    assert (summary["pending"], summary["blocked_runs"]) == (1, 0)
    assert summary["oldest_created_at"] == row["created_at"]
