"""The page of a run with a model: what it thought, looked at and took, and why it waits. The runs are made by hand."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inference.models import Call
from runs.agents.base import Verdict
from runs.agents.registry import model_of
from runs.models import Look, Run
from tests.cast import Cast
from tests.modelled import MODEL, PROFILE, ModelRun, call
from tests.pages.conftest import Visit, request_of, text

pytestmark = pytest.mark.django_db
Made = Callable[..., ModelRun]


@pytest.fixture
def made(cast: Cast) -> Made:
    return lambda **fields: ModelRun(cast.team, cast.actor("alice", test=True).ref(), **fields)


def row(page: str, index: int) -> str:
    """What the list of steps says of one step."""
    rest = page[page.index(f'id="step-{index}-') :]
    return rest[: rest.index("</ol>")].split('<li id="step-')[0].split('id="working"')[0]


def test_each_step_tells_what_was_thought_looked_at_and_taken(visit: Visit, made: Made) -> None:
    run = made()
    run.thought("The page must be open.", call(input=2000, cached=1500, output=50), text="I open the page.")
    run.act("open_url", "I open the page.", url="http://shop.test")
    run.thought("", call(), looks=(run.look("#111"), run.look("#222", (10, 20, 300, 200))), text="Let me see.")
    run.thought(
        "Now I can read it.", call(status="busy", why="Overloaded", input=None, output=None, microcents=None), call()
    )
    run.act(text="I click the price.")
    page = text(visit("bob").get(f"/runs/{run.run.id}?step=1"))
    first, second = row(page, 1), row(page, 2)
    assert "What the model thought" in first
    assert "The page must be open." in first
    assert first.count("I open the page.") == 1  # said once
    assert "1 model call · tokens 2,000 in (1,500 cached), 50 out · vendor cost $0.0123" in " ".join(first.split())
    assert "Now I can read it." in second
    assert "Let me see." in second
    assert "What it looked at: 2 pictures" in second
    assert "closer, from 10, 20 to 300, 200" in " ".join(second.split())
    assert "The model was busy" in second
    assert "Overloaded" in second
    assert "3 model calls" in second
    assert "The page must be open." not in second
    screen = page[page.index('class="run-screen"') :]
    assert "The page must be open." in screen  # at more length, beside the picture
    assert "Now I can read it." not in screen


def test_what_was_looked_at_is_a_picture_that_the_team_may_see(
    visit: Visit, made: Made, begin: Callable[..., Run]
) -> None:
    run = made()
    run.thought("", call(), looks=(run.look("#111"),))
    run.thought("", call(), looks=(run.look("#222"),))
    assert list(Look.objects.values_list("number", "step")) == [(0, 1), (1, 1)]
    answer = visit("bob").get(f"/runs/{run.run.id}/looks/1.png")
    assert (answer.status_code, answer["Content-Type"], answer["Cache-Control"]) == (
        200,
        "image/png",
        "private, no-store",
    )
    assert visit("bob").get(f"/runs/{run.run.id}/looks/2.png").status_code == 404
    assert visit("charlie").get(f"/runs/{run.run.id}/looks/1.png").status_code == 404
    assert visit("bob", "live").get(f"/runs/{run.run.id}/looks/1.png").status_code == 404
    assert visit("bob").get(f"/runs/{begin('x').id}/looks/1.png").status_code == 404


def test_the_totals_stand_beside_the_price_of_the_steps(visit: Visit, made: Made) -> None:
    run = made()
    run.thought("a", call(input=1000, cached=400, output=30, reasoning=10, microcents=50_000_000, seconds=2.5))
    run.act()
    run.thought("b", call(status="failed", input=None, output=None, microcents=None, seconds=0.5))
    panel = _panel(text(visit("bob").get(f"/runs/{run.run.id}")))
    assert f"Profile {PROFILE} Model {MODEL} by Anthropic Messages" in panel
    assert "Calls 2 of which 1 failed" in panel
    assert "Tokens in 1,000 of which 400 cached Tokens out 30 of which 10 thinking" in panel
    assert "Vendor cost $0.5000 beside what the steps cost Model at work 3.0 s" in panel


def _panel(page: str) -> str:
    start = page.index("<h2>Model</h2>")
    return " ".join(re.sub(r"<[^>]+>", " ", page[start : page.index("<h2>Details</h2>")]).split())


def test_what_nobody_knows_is_unknown_and_never_nothing(visit: Visit, made: Made) -> None:
    run = made()
    run.thought("a", call(input=None, output=None, microcents=None))
    run.act()
    page = text(visit("bob").get(f"/runs/{run.run.id}"))
    assert "tokens unknown in, unknown out · vendor cost unknown" in " ".join(row(page, 1).split())
    assert "Tokens in unknown Tokens out unknown Vendor cost unknown" in _panel(page)
    run.thought("b", call(microcents=200_000))
    run.act()
    panel = _panel(text(visit("bob").get(f"/runs/{run.run.id}")))
    assert "at least $0.0020 (unknown for 1 call)" in panel
    assert "Tokens in 1,000" in panel


def test_the_verifier_is_not_taken_for_the_model(visit: Visit, made: Made) -> None:
    run = made()
    run.thought("a", call(), replace(call("verify"), profile="other", wire="openai", model="gpt-verifier"))
    page = text(visit("bob").get(f"/runs/{run.run.id}"))
    assert f"Profile {PROFILE} Model {MODEL} by Anthropic Messages Calls 2" in _panel(page)
    assert model_of(run.run) == MODEL


def test_a_profile_without_a_call_is_named_and_one_that_is_gone_is_no_error(visit: Visit, made: Made) -> None:
    run = made()
    assert f"Model {MODEL} by Anthropic Messages Calls 0 Machine at work 0.0 s" in _panel(
        text(visit("bob").get(f"/runs/{run.run.id}"))
    )
    gone = made(agent="gone")
    assert "Profile gone Calls 0" in _panel(text(visit("bob").get(f"/runs/{gone.run.id}")))


def test_what_is_thought_before_it_acts_stands_at_the_end_of_the_list(visit: Visit, made: Made) -> None:
    run = made()
    run.thought("Which of the two?", call())
    page = text(visit("bob").get(f"/runs/{run.run.id}"))
    assert page.index('id="present"') < page.index("Which of the two?") < page.index('id="working"')
    run.ask("Is it the first?")
    page = text(visit("ana").get(f"/runs/{run.run.id}"))
    assert 'id="present"' not in page
    band = page[page.index(f'id="band-{request_of(run.run).id}"') :]
    assert "Which of the two?" in band[: band.index("</ol>")]


def test_the_card_says_which_model_asks(visit: Visit, made: Made, begin: Callable[..., Run]) -> None:
    run = made()
    run.thought("a", call())
    run.ask("Is it the first?")
    page = text(visit("ana").get(f"/approvals/{request_of(run.run).id}"))
    assert f"agent {PROFILE}" in page
    assert f"(model {MODEL})" in page
    other = begin("Ask me [pause]")
    assert "(model" not in text(visit("ana").get(f"/approvals/{request_of(other).id}"))


def test_the_verifiers_verdict_stands_with_its_reasons_and_what_it_saw(visit: Visit, made: Made) -> None:
    run = made()
    run.thought("a", call())
    run.act()
    run.thought("It is 42.", call())
    run.thought("", call("verify", input=700, output=20), step=1)
    run.end(Verdict(False, "fail", "The price on the page is 24.", ("The heading says <24>.", "No 42 on the page.")))
    page = text(visit("bob").get(f"/runs/{run.run.id}"))
    assert "The verifier’s verdict: fail" in page
    assert "The price on the page is 24." in page
    assert "The heading says &lt;24&gt;." in page
    assert "No 42 on the page." in page
    assert "It is 42." in page[page.index('id="present"') :]
    assert "Verifier 1 model call · tokens 700 in, 20 out" in _panel(page)
    assert run.run.result is not None
    assert set(run.run.result) == {"passed", "status", "summary", "verdict", "output", "output_text", "skipped"}


def test_an_output_is_shown(visit: Visit, made: Made) -> None:
    run = made(cua_version="v3")
    run.end(output={"price": 42, "note": "<b>\u202egnp"})
    page = text(visit("bob").get(f"/runs/{run.run.id}"))
    assert "&quot;price&quot;: 42" in page
    heading = page.index('<h2 class="small">Output</h2>')
    assert "<b>" not in page[heading : heading + 500]
    assert "\u202e" not in page


def test_hostile_words_of_a_model_are_text_and_hide_nothing(visit: Visit, made: Made) -> None:
    evil = "</div><script>alert(1)</script>\u202e\u200b{{ run.id }}"
    run = made(task="x")
    run.thought(evil, call(status="failed", why=evil), text=evil, looks=(run.look("#111"),))
    run.act()
    run.thought(evil, call(status="busy", why=evil), text=evil)
    page = text(visit("bob").get(f"/runs/{run.run.id}"))
    assert "<script>alert" not in page
    assert "\u202e" not in page
    assert "\u200b" not in page
    assert page.count("&lt;/div&gt;&lt;script&gt;alert(1)") >= 5
    Call.objects.update(model=evil, profile=evil)
    assert "<script>alert" not in text(visit("bob").get(f"/runs/{run.run.id}"))


def test_a_long_thought_is_cut_in_the_list_and_longer_at_its_step(visit: Visit, made: Made) -> None:
    run = made()
    run.thought("begin " + "x" * 5000 + " end of thought", call())
    run.act()
    page = text(visit("bob").get(f"/runs/{run.run.id}"))
    listed, screen = page.split('class="run-screen"')
    assert "end of thought" not in listed
    assert "Cut here; the page of the step shows more." in listed
    assert "end of thought" in screen


@pytest.mark.parametrize("name", ["olga", "ana", "bob"])
def test_a_key_that_was_refused_is_asked_about_and_owners_are_led_to_the_models(
    visit: Visit, made: Made, name: str
) -> None:
    run = made()
    run.thought("", call(status="failed", why="The key was refused."))
    run.stuck("The key was refused.")
    page = text(visit(name).get(f"/runs/{run.run.id}"))
    assert "The key was refused. Mend it on the page Models" in page
    assert ("Look at the model profile" in page) == (name == "olga")
    assert ('<a href="/models">' in page) == (name == "olga")
    assert ("<span data-approve-word>Try again</span>" in page) == (name != "bob")
    assert "The last call failed" in _panel(page)


def test_a_model_that_is_busy_is_why_it_waits(visit: Visit, made: Made) -> None:
    run = made()
    run.busy("Too many requests to the model")
    page = text(visit("bob").get(f"/runs/{run.run.id}"))
    strip = page[page.index('class="strip-status"') : page.index('class="meters"')]
    row = page[page.index('id="working"') :]
    assert "Waiting for the model" in row[: row.index("</li>")]
    assert "The agent is working" not in page
    assert "Too many requests to the model. Waiting for the model since" in strip
    assert "it is asked again at" in strip
    assert "/models" not in strip
    owner = text(visit("olga").get(f"/runs/{run.run.id}"))
    assert '<a href="/models">' in owner[owner.index('class="strip-status"') : owner.index('class="meters"')]


def test_a_run_without_a_model_has_nothing_of_it_and_costs_no_query_more(
    visit: Visit, made: Made, begin: Callable[..., Run]
) -> None:
    run = begin("Three steps")
    bob = visit("bob")
    bob.get(f"/runs/{run.id}")
    with CaptureQueriesContext(connection) as queries:
        page = text(bob.get(f"/runs/{run.id}"))
    for word in ("<h2>Model</h2>", "thinking", "vendor cost", 'id="present"', "verdict"):
        assert word not in page
    for table in ("inference_call", "inference_profile", "runs_look"):
        assert not [q for q in queries.captured_queries if table in q["sql"]]


def test_a_long_run_asks_no_more_than_a_short_one(visit: Visit, made: Made) -> None:
    bob = visit("bob")

    def queries(steps: int) -> int:
        run = made()
        for _ in range(steps):
            run.thought("a", call(), looks=(run.look("#111"),))
            run.act()
        bob.get(f"/runs/{run.run.id}")
        with CaptureQueriesContext(connection) as asked:
            bob.get(f"/runs/{run.run.id}")
        return len(asked)

    assert queries(8) == queries(2)


def test_the_newest_steps_of_a_long_run_keep_their_own_thoughts(
    visit: Visit, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.views.SHOWN", 2)
    run = made()
    for n in range(1, 5):
        run.thought(f"Thought number {n}.", call())
        run.act()
    page = text(visit("bob").get(f"/runs/{run.run.id}"))
    assert "Thought number 3." in row(page, 3)
    assert "Thought number 2." not in page
    assert "Thought number 1." in text(visit("bob").get(f"/runs/{run.run.id}?all=1"))


def test_the_list_of_runs_asks_no_more_for_many_and_loads_no_conversation(visit: Visit, made: Made) -> None:
    bob = visit("bob")

    def queries() -> list[str]:
        bob.get("/runs")
        with CaptureQueriesContext(connection) as asked:
            bob.get("/runs")
        return [query["sql"] for query in asked.captured_queries]

    def one() -> None:
        run = made()
        run.thought("a", call(), looks=(run.look("#111"),))
        run.act()
        run.busy("Too many requests to the model.")

    one()
    few = queries()
    for _ in range(5):
        one()
    many = queries()
    assert len(many) == len(few)
    assert not [sql for sql in many if '"memory"' in sql or "inference_call" in sql]
    assert "Too many requests to the model." in text(bob.get("/runs"))
