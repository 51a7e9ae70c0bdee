"""The form of a new run: which agents there are and in what state, what a model is told, what the run hands over."""

import json
import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from inference.models import Profile
from runs.models import Run
from tests.cast import Cast
from tests.modelled import PROFILE, ModelRun
from tests.pages.conftest import Visit, text

pytestmark = pytest.mark.django_db
SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}


def profile(name: str, **fields: object) -> Profile:
    usual = {"wire": "anthropic", "model": "m", "created_by": {}}
    return Profile.objects.create(name=name, **usual | fields)


def agents(page: str) -> dict[str, tuple[str, str]]:
    """The options of the agent: value -> (what the agent reads, words)."""
    select = page[page.index('id="id_agent"') :]
    options = re.findall(r"<option ([^>]*)>([^<]*)", select[: select.index("</select>")])
    found = [(*re.findall(r'(?:value|reads)="([^"]*)"', attributes), words) for attributes, words in options]
    return {value: (reads, words) for value, reads, words in found}


def test_profiles_are_offered_with_their_state_and_disabled_ones_are_not(visit: Visit) -> None:
    passed = {"passed": True, "version": 1}
    profile("claude", is_default=True, tested=passed)
    profile("local")
    profile("edited", tested=passed, version=2)
    profile("tested", tested=passed)
    profile("old", disabled_at="2026-01-01T00:00:00Z")
    assert agents(text(visit("alice", "live").get("/runs/new"))) == {
        "": ("model", "Usual: claude"), "claude": ("model", "claude (default)"), "local": ("model", "local (not tested)"),
        "edited": ("model", "edited (not tested)"), "tested": ("model", "tested"),
        "playbook": ("playbook", "playbook, which follows written instructions"),
        "scripted": ("other", "scripted, which clicks three times"),
    }  # fmt: skip
    assert agents(text(visit("alice").get("/runs/new")))[""][0] == "other"  # the test world: scripted


def test_without_a_model_there_is_a_quiet_hint_and_the_owner_is_led_on(visit: Visit) -> None:
    page = text(visit("alice", "live").get("/runs/new"))
    assert agents(page)[""] == ("playbook", "Usual: playbook")
    assert "No model is connected." in page
    assert "/models" not in page[page.index("<main") :]
    assert '<a href="/models">Connect one</a>' in text(visit("olga", "live").get("/runs/new"))
    assert "The playbook agent follows them word by word" in page
    profile("claude")
    page = text(visit("olga", "live").get("/runs/new"))
    assert "No model is connected." not in page
    assert "A model works out the way by itself" in page


def test_a_run_of_a_model_is_started_with_what_it_is_told_and_has_to_hand_over(visit: Visit) -> None:
    profile("claude")
    sent = {
        "task": "Find it", "agent": "scripted", "instructions": "Be quick.", "system_prompt": "You are new.",
        "output_schema": json.dumps(SCHEMA),
    }  # fmt: skip
    answer = visit("alice").post("/runs/new", sent)
    run = Run.objects.get()
    assert answer.redirect_chain[-1][0] == f"/runs/{run.id}"
    assert (run.agent, run.instructions, run.system_prompt, run.output_schema) == (
        "scripted",
        "Be quick.",
        "You are new.",
        SCHEMA,
    )
    page = text(answer)
    assert "Be quick." in page
    assert "You are new." not in page
    assert "&quot;output_schema&quot;: {" in page  # in the API call that makes the same run


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("{", "This is not JSON: Expecting property name enclosed in double quotes at line 1, column 2."),
        ("[]", "The schema is not an object."),
        ('{"type": "objekt"}', "The schema is not valid at &#x27;type&#x27;"),
        ("[" * 5000, "The schema is nested too deep"),
        ('{"a": ' * 150 + "1" + "}" * 150, "The schema is nested too deep"),
        ('{"description": "a\\u0000b"}', "holds a NUL character"),
        ('{"description": "' + "x" * 16_384 + '"}', "The schema is larger than 16 KiB."),
        ('{"minimum": NaN}', "This is not JSON"),
    ],
)
def test_a_schema_that_is_none_comes_back_at_its_field_opened(visit: Visit, schema: str, says: str) -> None:
    answer = visit("alice").post("/runs/new", {"task": "x", "output_schema": schema})
    assert answer.status_code == 422
    page = text(answer)
    assert says in page
    part = page[: page.index("What it has to hand over")]
    assert part[part.rindex("<details") :].startswith('<details class="fold" open>')
    assert not Run.objects.exists()


def test_running_again_keeps_the_schema_and_says_what_it_cannot_keep(
    visit: Visit, begin: Callable[..., Run], cast: Cast
) -> None:
    kept = begin("Once more [steps:1]", output_schema=SCHEMA, instructions="Be quick.")
    page = text(visit("alice").get(f"/runs/new?like={kept.id}"))
    assert "&quot;total&quot;" in page[page.index('id="id_output_schema"') :]
    assert "Be quick.</textarea>" in page
    assert "for-models grid2 has-value" in page
    assert "As before, but for" not in page
    gone = ModelRun(cast.team, cast.actor("alice", test=True).ref(), system_prompt="Never shown.").run
    page = text(visit("alice").get(f"/runs/new?like={gone.id}"))
    assert "As before, but for its system prompt, which is not shown again." in " ".join(page.split())
    assert "Never shown." not in page
    assert f'<option value="{PROFILE}" selected' in page
    Profile.objects.update(disabled_at="2026-01-01T00:00:00Z")
    page = " ".join(text(visit("alice").get(f"/runs/new?like={gone.id}")).split())
    assert f"its agent, {PROFILE}, which is not there any more and its system prompt" in page


def test_the_task_is_read_aloud_for_the_playbook_alone(visit: Visit) -> None:
    profile("claude", is_default=True)
    alice = visit("alice", "live")
    assert "all understood" in text(alice.post("/runs/new/reading", {"task": "press Enter", "agent": "playbook"}))
    for agent in ("claude", "", "scripted"):
        assert not text(alice.post("/runs/new/reading", {"task": "press Enter", "agent": agent})).strip()


def test_many_profiles_cost_no_query_more(visit: Visit) -> None:
    alice = visit("alice", "live")

    def queries() -> int:
        alice.get("/runs/new")
        with CaptureQueriesContext(connection) as asked:
            alice.get("/runs/new")
        return len(asked)

    profile("first")
    few = queries()
    for n in range(5):
        profile(f"more{n}")
    assert queries() == few
