"""How often people are asked and how they answer: the page of it, and /metrics (approvals/statistics)."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from approvals.models import Approval, Decision
from approvals.statistics import access
from approvals.statistics.access import statistics_of
from approvals.statistics.figures import Figures
from runs.models import Run
from tests.approvals.external.asking import ask as ask_as
from tests.approvals.external.asking import asker, decide
from tests.cast import Api, Cast
from tests.runs.driving import drive_all, waiting

pytestmark = pytest.mark.django_db
Ask = Callable[..., Approval]


@pytest.fixture
def ask(test_key: Api) -> Ask:
    """A request of a run, opened `ago`, with who decided it how after so many seconds; no `verdict`: it waits."""

    def opened(
        verdict: str | None = "approve", *, by: Api = test_key, seconds: float = 60, ago: timedelta = timedelta(hours=1),
        policies: tuple[str, ...] = (), task: str = "x [pause]",
    ) -> Approval:  # fmt: skip
        run = waiting(test_key, task)
        approval_id = run["open_approvals"][0]
        created = timezone.now() - ago
        if verdict is not None:
            answer = by.post(f"/approvals/{approval_id}/decide", {"verdict": verdict})
            assert answer.status_code == 200, answer.content
        Approval.objects.filter(id=approval_id).update(created_at=created, policy_ids=list(policies))
        Decision.objects.filter(approval=approval_id).update(at=created + timedelta(seconds=seconds))
        return Approval.objects.get(id=approval_id)

    return opened


def found(cast: Cast, days: int = 30, *, test: bool = True) -> Any:
    now = timezone.now()
    return statistics_of(cast.team.id, test, now - timedelta(days=days), now)


def test_shares_are_of_what_people_decided(cast: Cast, ask: Ask) -> None:
    ask(seconds=1.9)
    ask(seconds=2)
    ask("reject", seconds=0.1)
    ask(None)
    total = found(cast).total
    assert total == Figures(asked=4, of_runs=4, decided=3, approved=2, quick=2)
    assert (total.approved_share, total.quick_share) == (2 / 3, 2 / 3)
    assert found(cast, test=False).total == Figures()
    assert Figures().approved_share is Figures().quick_share is None


def test_asks_are_counted_for_each_top_level_run_that_ended(test_key: Api, cast: Cast, ask: Ask) -> None:
    ask()
    assert found(cast).asks_per_run is None
    ask()
    ask()
    drive_all()
    assert (found(cast).ended_runs, found(cast).asks_per_run) == (3, 1.0)
    test_key.post("/runs", {"task": "x"})
    drive_all()
    assert found(cast).asks_per_run == 0.75
    Run.objects.update(finished_at=timezone.now() - timedelta(days=31))
    assert found(cast).asks_per_run is None


def test_what_no_person_decided_counts_as_asked_only(cast: Cast, ask: Ask) -> None:
    for via in ("timeout", "cancel", "mode_change", "lease_expired"):
        Decision.objects.filter(approval=ask()).update(via=via)
    assert found(cast).total == Figures(asked=4, of_runs=4)
    assert found(cast).deciders == {}


def test_what_nobody_was_asked_is_not_counted(cast: Cast, ask: Ask) -> None:
    for via in ("policy", "on_awaiting_human"):
        Decision.objects.filter(approval=ask()).update(via=via)
    assert found(cast).total == Figures()


def test_a_decision_undone_does_not_count_nor_does_a_losing_attempt(cast: Cast, ask: Ask, test_key: Api) -> None:
    decided = ask()
    assert test_key.post(f"/approvals/{decided.id}/decide", {"verdict": "reject"}).status_code == 409
    assert Decision.objects.filter(approval=decided).count() == 2
    assert found(cast).total.decided == 1
    Decision.objects.filter(approval=decided).update(counts=False)
    assert found(cast).total == Figures(asked=1, of_runs=1)


def test_each_policy_that_asked_has_its_figures(cast: Cast, ask: Ask) -> None:
    ask(policies=("pol_a",))
    ask("reject", policies=("pol_a", "pol_b"), seconds=1)
    ask()
    day = found(cast)
    assert day.policies == {
        "pol_a": Figures(asked=2, of_runs=2, decided=2, approved=1, quick=1),
        "pol_b": Figures(asked=1, of_runs=1, decided=1, approved=0, quick=1),
    }
    assert day.unruled.asked == 1
    assert day.total.asked == 3


def test_each_person_and_key_has_its_figures(cast: Cast, ask: Ask) -> None:
    other = cast.api(test=True)
    ask()
    ask("reject", by=other)
    ask(by=other)
    by_name = sorted(
        (each.ref["type"], each.figures.decided, each.figures.approved) for each in found(cast).deciders.values()
    )
    assert by_name == [("api_key", 1, 1), ("api_key", 2, 1)]


def test_days_begin_and_end_exactly(cast: Cast, ask: Ask) -> None:
    ask(ago=timedelta(days=3))
    at = Approval.objects.get().created_at
    hour = timedelta(hours=1)
    team = cast.team.id
    assert statistics_of(team, True, at, at + hour).total.asked == 1
    assert statistics_of(team, True, at - hour, at).total.asked == 0
    assert statistics_of(team, True, at + timedelta(microseconds=1), at + hour).total.asked == 0


def test_of_too_many_requests_the_newest_are_looked_at_and_the_days_shrink(
    cast: Cast, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "MOST", 2)
    for hours in (5, 4, 3):
        ask(ago=timedelta(hours=hours), policies=(f"pol_{hours}",))
    drive_all()
    Run.objects.update(finished_at=timezone.now() - timedelta(hours=4, minutes=30))
    day = found(cast)
    assert (day.is_cut, day.total.asked, set(day.policies)) == (True, 2, {"pol_4", "pol_3"})
    assert day.since > timezone.now() - timedelta(hours=5, minutes=1)
    assert day.ended_runs == 3
    Run.objects.update(finished_at=timezone.now() - timedelta(hours=6))
    assert found(cast).ended_runs == 0
    monkeypatch.setattr(access, "MOST", 3)
    assert found(cast).is_cut is False


# --- the page


def page(cast: Cast, query: str = "", who: str = "bob", *, status: int = 200) -> str:
    browser = cast.browser(who)
    browser.post("/switch", {"mode": "test"})
    answer = browser.get(f"/approvals/statistics{query}")
    assert answer.status_code == status
    return re.sub(r"\s+", " ", answer.content.decode())


def rows_of(text: str, heading: str) -> list[list[str]]:
    """The cells of the table behind the heading, as they read."""
    table = text.split(f'id="{heading}"')[1].split("</table>", maxsplit=1)[0].split("<tbody>")[1]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in table.split("</tr>") if "<td" in row]
    return [[" ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in row] for row in rows]


def test_the_page_has_a_row_for_each_rule_and_each_person(cast: Cast, ask: Ask, test_key: Api) -> None:
    policy = test_key.post("/permissions", {"tool": "click", "effect": "ask", "host": "shop.test"}).json()["id"]
    ask(policies=(policy,), seconds=1)
    ask("reject")
    text = page(cast)
    assert rows_of(text, "by-policy") == [
        [
            "Every click on shop.test needs an approval, until somebody revokes it .".replace(" .", "."),
            "1",
            "1",
            "100 %",
            "100 %",
        ],
        ["No policy: nothing allows it, its risk asks, or it is a question", "1", "1", "0 %", "0 %"],
    ]
    assert f'href="/policies/{policy}"' in text
    ((name, *figures),) = rows_of(text, "by-person")
    assert name.endswith("key")
    assert figures == ["2", "50 %", "50 %"]
    assert 'href="/audit?who=key_' in text


def test_a_policy_that_is_revoked_says_so(cast: Cast, ask: Ask, test_key: Api) -> None:
    policy = test_key.post("/permissions", {"tool": "click", "effect": "ask"}).json()["id"]
    ask(policies=(policy,))
    assert test_key.request("DELETE", f"/permissions/{policy}").status_code == 204
    (row,) = rows_of(page(cast), "by-policy")
    assert row[0].endswith("revoked")


def test_another_teams_policy_has_no_row(cast: Cast, ask: Ask, strangers: Cast) -> None:
    policy = strangers.api(test=True).post("/permissions", {"tool": "click", "effect": "ask"}).json()["id"]
    ask(policies=(policy,))
    assert policy not in page(cast)


def test_names_that_people_gave_are_text(cast: Cast, ask: Ask) -> None:
    ask()
    Decision.objects.update(actor={"type": "user", "id": 'u"><b>', "name": "<b>Eve\u202e</b>"})
    text = page(cast)
    assert "<b>" not in text
    assert "\u202e" not in text


def test_without_requests_the_page_says_what_there_was(cast: Cast, test_key: Api) -> None:
    assert "In these days no request was opened and no run ended." in page(cast)
    test_key.post("/runs", {"task": "x"})
    drive_all()
    assert "1 run ended in these days without a request." in page(cast)


def test_before_anybody_decided_there_are_no_shares(cast: Cast, ask: Ask) -> None:
    ask(None)
    text = page(cast)
    assert "Nobody has decided yet" in text
    assert rows_of(text, "by-policy")[0][1:] == ["1", "0", "–", "–"]


def test_days_are_chosen(cast: Cast, ask: Ask) -> None:
    ask(ago=timedelta(days=10))
    day = timezone.now() - timedelta(days=10)
    assert "Nobody was asked" in page(cast, "?days=7")
    for query in ("", "?days=30", "?days=nonsense", f"?from={day:%Y-%m-%d}&to={day:%Y-%m-%d}", f"?to={day:%Y-%m-%d}"):
        assert rows_of(page(cast, query), "by-policy"), query
    for query in ("?from=2020-01-01&to=2020-02-01", "?to=2020-01-01", "?from=9999-12-31", "?to=0001-01-01", "?days=1"):
        assert "Nobody was asked" in page(cast, query), query
    assert "A day such as 2026-03-26." in page(cast, "?from=x", status=400)
    assert "Must not be before the first day." in page(cast, "?from=2026-03-02&to=2026-03-01", status=400)


def test_the_other_world_is_another_page(cast: Cast, ask: Ask) -> None:
    ask()
    assert "Nobody was asked" in cast.browser("bob").get("/approvals/statistics").content.decode()


@pytest.mark.parametrize(
    ("part", "words"), [(None, "–"), (0.0, "0 %"), (0.001, "<1 %"), (0.5, "50 %"), (0.999, ">99 %"), (1.0, "100 %")]
)
def test_a_share_never_reads_as_none_or_all_where_it_is_not(part: float | None, words: str) -> None:
    from web.templatetags.show import share

    assert share(part) == words


# --- /metrics


def series(**headers: str) -> dict[str, float]:
    answer = Client().get("/metrics", REMOTE_ADDR="203.0.113.9" if headers else "127.0.0.1", headers=headers)
    lines = [line.rpartition(" ") for line in answer.content.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_metrics_have_the_figures_of_a_day(cast: Cast, ask: Ask) -> None:
    ask(seconds=1, policies=("pol_a",))
    ask("reject", policies=("pol_a",))
    ask(ago=timedelta(hours=25))
    drive_all()
    read = series()
    assert read['countersign_requests{world="test"}'] == 2
    assert read['countersign_requests_decided{world="test"}'] == 2
    assert read['countersign_requests_approved_share{world="test"}'] == 0.5
    assert read['countersign_requests_quick_share{world="test"}'] == 0.5
    assert read['countersign_runs_ended{world="test"}'] == 3
    assert read['countersign_requests_per_run{world="test"}'] == pytest.approx(2 / 3)
    assert read['countersign_policy_requests{policy="pol_a",world="test"}'] == 2
    (decider,) = [name for name in read if name.startswith("countersign_decider_requests_decided{")]
    assert read[decider] == 2
    assert read['countersign_requests{world="live"}'] == 0
    assert 'countersign_requests_approved_share{world="live"}' not in read


def test_a_key_reads_of_its_own_team_and_world_who_decided(
    cast: Cast, ask: Ask, test_key: Api, live: Api, strangers: Cast
) -> None:
    ask(policies=("pol_a",))
    assert any("pol_a" in name for name in series(X_API_Key=test_key.key))
    for api in (live, strangers.api(test=True), cast.api(test=True, scopes=frozenset())):
        read = series(X_API_Key=api.key)
        assert read['countersign_requests{world="test"}'] == 1
        assert not [name for name in read if "policy=" in name or "decider=" in name]


def test_metrics_name_no_more_than_so_many_policies(cast: Cast, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    from approvals.statistics import metrics

    monkeypatch.setattr(metrics, "MOST_SERIES", 1)
    ask(policies=("pol_a", "pol_b"))
    ask(policies=("pol_b",))
    assert [name for name in series() if name.startswith("countersign_policy_requests{")] == [
        'countersign_policy_requests{policy="pol_b",world="test"}'
    ]


# --- programs outside


def test_what_programs_ask_is_counted_but_belongs_to_no_run(cast: Cast, test_key: Api) -> None:
    program = asker(cast, test=True)
    decide(test_key, ask_as(program))
    ask_as(program, "approval")
    assert found(cast).total == Figures(asked=2, decided=1, approved=1, quick=1)
    assert found(cast).asks_per_run is None


def test_what_a_policy_answers_a_program_was_asked_of_nobody(cast: Cast, test_key: Api) -> None:
    test_key.post("/permissions", {"tool": "mail.send", "effect": "allow"})
    assert ask_as(asker(cast, test=True))["status"] == "approved"
    assert found(cast).total == Figures()


def test_the_policies_that_ask_have_what_programs_asked(cast: Cast, test_key: Api) -> None:
    policy = test_key.post("/permissions", {"tool": "mail.*", "effect": "ask"}).json()["id"]
    decide(test_key, ask_as(asker(cast, test=True)))
    assert found(cast).policies == {policy: Figures(asked=1, decided=1, approved=1, quick=1)}
