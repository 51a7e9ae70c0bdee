"""The pages of the models, at their doors."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from inference.calls.services import record_calls
from inference.models import Profile
from inference.profiles import services
from inference.profiles.trial_picture import TARGETS
from inference.records import CallRecord, Usage
from inference.specs import default_name, spec_of
from tests.cast import Cast
from tests.inference.conftest import Make
from tests.pages.conftest import text

pytestmark = pytest.mark.django_db
COMPATIBLE = {
    "name": "local", "model": "qwen3-vl:8b", "base_url": "http://127.0.0.1:11434/v1", "key": "", "coordinates": "thousand",
    "dialect": "tools", "tools": "native", "picture_in_tool": "false", "max_side": "1400", "max_tokens": "", "keep_images": "3",
    "verifier": "", "more": '{"factor": 28}', "price_input": "0", "price_output": "0.5", "price_cached": "",
    "price_cache_written": "", "limit_concurrent": "2", "limit_tokens": "", "limit_depth": "",
}  # fmt: skip


@pytest.fixture
def olga(first: Cast) -> Client:
    return first.browser("olga")


def page(answer: Any, status: int = 200) -> str:
    assert answer.status_code == status, text(answer)
    return re.sub(r"\s+", " ", text(answer))


def sent(client: Client, path: str, **data: str) -> Any:
    return client.post(path, data, follow=True)


def test_without_a_model_the_page_says_what_works_and_what_to_do(olga: Client) -> None:
    shown = page(olga.get("/models"))
    assert "No models" in shown
    assert "playbook" in shown
    assert 'href="/models/new"' in shown


def test_the_navigation_leads_owners_of_the_installation_there_and_nobody_else(
    first: Cast, strangers: Cast, olga: Client
) -> None:
    assert 'href="/models"' in page(olga.get("/profile"))
    for client in (first.browser("adam"), first.browser("alice"), strangers.browser("olga")):
        assert 'href="/models"' not in page(client.get("/profile"))


def test_each_kind_has_its_form_with_what_is_usual(olga: Client, make: Make) -> None:
    kinds = page(olga.get("/models/new"))
    for wire, model in (("anthropic", "claude-opus-5-5"), ("openai", "gpt-6-astra"), ("gemini", "gemini-3.5-flash")):
        assert f"?wire={wire}" in kinds
        shown = page(olga.get(f"/models/new?wire={wire}"))
        assert f'value="{model}"' in shown
        assert "check your vendor" in shown
        assert "Places are given in" not in shown
    make()
    assert 'value="claude-2"' in page(olga.get("/models/new?wire=anthropic"))
    compatible = page(olga.get("/models/new?wire=compatible"))
    assert "Places are given in" in compatible
    assert "Calls in a row without a step" in compatible
    assert "Add a model" in page(olga.get("/models/new?wire=nonsense"))


def test_a_model_is_added_with_everything_that_the_form_asks(olga: Client) -> None:
    shown = page(sent(olga, "/models/new?wire=compatible", **COMPATIBLE, take_key_away="on"))
    assert "Test it before runs use it" in shown
    spec = spec_of("local")
    assert (spec.wire, spec.model, spec.base_url, spec.key) == (
        "compatible",
        "qwen3-vl:8b",
        COMPATIBLE["base_url"],
        None,
    )
    assert spec.options == {"coordinates": "thousand", "dialect": "tools", "tools": "native", "picture_in_tool": False,
                            "max_side": 1400, "keep_images": 3, "factor": 28}  # fmt: skip
    assert spec.prices == {"input": 0, "output": 50}
    assert spec.limits == {"concurrent": 2}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": "Local"}, "lower-case"), ({"name": ""}, "required"), ({"base_url": "nowhere"}, "http or https"),
        ({"base_url": ""}, "required"), ({"more": "{"}, "not JSON"), ({"more": "[]"}, "no JSON object"),
        ({"more": '{"nonsense": 1}'}, "Unknown option"), ({"max_side": "1"}, "256 to 8192"), ({"max_side": "x"}, "whole number"),
        ({"limit_concurrent": "0"}, "1 to 1000"), ({"price_input": "-1"}, "greater than or equal to 0"),
        ({"coordinates": "miles"}, "not one of the available"), ({"more": "[" * 19_000}, "deep"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_kept(
    olga: Client, wrong: dict[str, str], words: str
) -> None:
    shown = page(olga.post("/models/new?wire=compatible", COMPATIBLE | wrong | {"key": "sk-typed"}), 422)
    assert words in shown
    assert 'role="alert"' in shown
    assert "sk-typed" not in shown  # a typed key is not sent back
    assert "qwen3-vl:8b" in shown
    assert not Profile.objects.exists()


def test_an_edit_shows_what_is_there_but_the_key_and_keeps_what_is_not_touched(olga: Client, make: Make) -> None:
    row = make(name="local", wire="compatible", base_url="http://h/v1", options={"tools": "text", "picture_in_tool": True, "factor": 32},
               prices={"input": 1.5}, limits={"depth": 4})  # fmt: skip
    shown = page(olga.get(f"/models/{row.id}/edit"))
    assert "sk-very-secret" not in shown
    for part in (
        'value="http://h/v1"',
        '<option value="text" selected>',
        '<option value="true" selected>',
        "&quot;factor&quot;: 32",
        'value="0.015"',
        'value="4"',
    ):
        assert part in shown
    form = {"model": "m", "base_url": "http://h/v1", "tools": "text", "picture_in_tool": "true", "more": '{"factor": 32}',
            "price_input": "0.015", "limit_depth": "4"}  # fmt: skip
    assert "The model is changed" in page(sent(olga, f"/models/{row.id}/edit", **form))
    spec = spec_of("local")
    assert (spec.model, spec.key, spec.version) == ("m", "sk-very-secret", 2)
    assert (spec.options, spec.prices, spec.limits) == (row.options, row.prices, row.limits)
    assert "Nothing was changed" in page(sent(olga, f"/models/{row.id}/edit", **form))
    assert spec_of("local").version == 2
    sent(olga, f"/models/{row.id}/edit", **form, key="sk-new")
    assert spec_of("local").key == "sk-new"
    sent(olga, f"/models/{row.id}/edit", **form, take_key_away="on")
    assert spec_of("local").key is None


def test_the_key_of_the_environment_is_not_edited(first: Cast, olga: Client) -> None:
    values = {"name": "claude", "wire": "anthropic", "model": "m", "base_url": "", "key": "k", "options": {}, "prices": {},
              "limits": {}}  # fmt: skip
    row = services.create_profile(first.actor("olga"), values, from_env="ANTHROPIC_API_KEY")
    shown = page(olga.get(f"/models/{row.id}/edit"))
    assert "ANTHROPIC_API_KEY" in shown
    assert 'name="key"' not in shown
    sent(olga, f"/models/{row.id}/edit", model="other", key="k2", take_key_away="on")
    assert (spec_of("claude").model, spec_of("claude").key) == ("other", "k")


def shots(*hits: bool) -> list[dict[str, Any]]:
    return [
        {
            "name": t.name,
            "x": t.box[0] + 3,
            "y": t.box[1] + 3,
            "hit": hit,
            "problem": "" if hit else "It clicked elsewhere.",
        }
        for t, hit in zip(TARGETS, hits, strict=False)
    ]


def outcome(row: Profile, **more: Any) -> None:
    now = timezone.now().isoformat()
    tested = {"id": "mtr_1", "version": row.version, "by": {"type": "user", "id": "u", "name": "Olga"}, "at": now, "beat": now,
              "running": False, "passed": False, "problem": "", "targets": []}  # fmt: skip
    Profile.objects.filter(id=row.id).update(tested=tested | more)


def test_a_test_begins_at_once_and_the_page_follows_it(olga: Client, make: Make) -> None:
    row = make()
    assert "never tested" in page(olga.get(f"/models/{row.id}"))
    shown = page(sent(olga, f"/models/{row.id}/test"))
    assert 'hx-trigger="every 1s"' in shown
    assert "0 of 5 targets asked" in shown
    outcome(row, running=True, targets=shots(True, False))
    part = page(olga.get(f"/models/{row.id}", headers={"HX-Request": "true"}))
    assert "2 of 5 targets asked" in part
    assert "<html" not in part
    assert "It clicked elsewhere." in part


def test_the_outcome_of_a_test_is_shown_with_the_places(olga: Client, make: Make) -> None:
    row = make()
    outcome(row, targets=shots(True, True, False, True, True), problem="4 of 5 targets were hit.")
    shown = page(olga.get(f"/models/{row.id}"))
    assert "4 of 5 targets were hit." in shown
    assert shown.count('class="trial-hit"') == 4
    assert shown.count('class="trial-miss"') == 1
    assert "every 1s" not in shown
    assert "failed" in page(olga.get("/models"))
    outcome(row, passed=True, targets=shots(*[True] * 5))
    assert "All 5 targets were hit" in page(olga.get(f"/models/{row.id}"))
    outcome(row, running=True, beat="2020-01-01T00:00:00.000Z")
    assert "The server was restarted meanwhile" in page(olga.get(f"/models/{row.id}"))


def test_what_a_vendor_says_is_only_text(olga: Client, make: Make) -> None:
    row = make()
    outcome(row, problem="<script>alert(1)</script>")
    shown = page(olga.get(f"/models/{row.id}"))
    assert "<script>alert" not in shown
    assert "&lt;script&gt;" in shown


def test_the_default_needs_a_passed_test_or_a_second_press(olga: Client, make: Make) -> None:
    row = make()
    shown = page(sent(olga, f"/models/{row.id}/default"))
    assert "Use it anyway" in shown
    assert default_name() is None
    shown = page(sent(olga, f"/models/{row.id}/default", anyway="yes"))
    assert default_name() == "claude"
    assert "has not passed its test as it stands" in shown
    sent(olga, f"/models/{row.id}/no-default")
    assert default_name() is None
    outcome(row, passed=True)
    sent(olga, f"/models/{row.id}/default")
    assert default_name() == "claude"


def test_disabling_and_enabling(olga: Client, make: Make) -> None:
    row = make()
    sent(olga, f"/models/{row.id}/default", anyway="yes")
    shown = page(sent(olga, f"/models/{row.id}/switch", on="false"))
    assert "No new run can have it" in shown
    assert default_name() is None
    shown = page(sent(olga, f"/models/{row.id}/switch", on="true"))
    assert "Disabled" not in shown


def test_what_was_used_has_no_delete_button_and_refuses_it(first: Cast, olga: Client, make: Make) -> None:
    row, now = make(), timezone.now()
    assert f"/models/{row.id}/delete" in page(olga.get(f"/models/{row.id}"))
    record = CallRecord(
        "claude", "anthropic", "m", "act", "ok", now, now, usage=Usage(input=1, output=1), cost_microcents=123_456_789
    )
    record_calls([record], team_id=first.team.id, test=False)
    shown = page(olga.get(f"/models/{row.id}"))
    assert f"/models/{row.id}/delete" not in shown
    assert "$1.23" in shown
    assert "1 call " in shown
    assert "Disable it instead" in page(sent(olga, f"/models/{row.id}/delete"), 409)
    assert "$1.23" in page(olga.get("/models"))


def test_an_unused_one_is_deleted_after_a_question(olga: Client, make: Make) -> None:
    row = make()
    assert "cannot be taken back" in page(olga.get(f"/models/{row.id}/delete"))
    assert "queued with it will ask a person" in page(olga.get(f"/models/{row.id}/delete"))
    assert "is deleted" in page(sent(olga, f"/models/{row.id}/delete"))
    assert not Profile.objects.exists()
    assert olga.get(f"/models/{row.id}").status_code == 404


def test_a_cost_that_nobody_knows_is_not_nothing(first: Cast, olga: Client, make: Make) -> None:
    make()
    now = timezone.now()
    record_calls([CallRecord("claude", "anthropic", "m", "act", "ok", now, now)], team_id=first.team.id, test=False)
    shown = page(olga.get("/models"))
    assert "unknown" in shown
    assert "$0.00" not in shown


def test_a_missing_sdk_is_said(olga: Client, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.profiles.views.installed", lambda wire: False)
    row = make()
    assert "make models" in page(olga.get(f"/models/{row.id}"))
    assert "SDK missing" in page(olga.get("/models"))


def test_the_audit_tells_of_models(first: Cast, olga: Client, make: Make) -> None:
    row = make()
    services.update_profile(first.actor("olga"), row.id, {"model": "other", "key": "sk-second"})
    shown = page(olga.get("/audit?kind=model"))
    assert "Added the model" in shown
    assert "Changed the model" in shown
    assert "sk-second" not in shown
