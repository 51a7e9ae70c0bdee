"""`manage.py models`."""

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from inference.errors import ModelMisconfigured
from inference.models import Profile
from inference.specs import default_name, live_names, spec_of
from tests.cast import Cast
from tests.inference.test_trials import aims
from tests.inference.wire import FakeWire, click

pytestmark = pytest.mark.django_db


def models(*words: str) -> str:
    out = io.StringIO()
    call_command("models", *words, stdout=out)
    return out.getvalue()


def test_a_model_is_added_tested_and_made_the_default(
    first: Cast, over: Callable[..., FakeWire], monkeypatch: pytest.MonkeyPatch
) -> None:
    over(aims)
    assert models("list") == "No models. The playbook agent needs none.\n"
    monkeypatch.setenv("A_KEY", "sk-secret")
    assert "models test claude" in models("add", "claude", "--wire", "anthropic", "--key-from", "A_KEY")
    assert (spec_of("claude").key, spec_of("claude").model, bool(spec_of("claude").prices)) == (
        "sk-secret",
        "claude-opus-5-5",
        True,
    )
    with pytest.raises(CommandError, match="not passed its test"):
        models("default", "claude")
    assert models("test", "claude").splitlines()[-1] == "passed"
    models("default", "claude")
    assert default_name() == "claude"
    listed = models("list")
    assert "passed" in listed
    assert "5 calls" in listed
    assert "default" in listed
    assert "secret" not in listed


def test_a_server_of_one_s_own_and_the_key_from_the_input(first: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    address = ("--base-url", "http://127.0.0.1:8080/v1")
    models("add", "one", "--wire", "compatible", "--no-key", *address)
    assert spec_of("one").key is None
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-typed\n"))
    models("add", "two", "--wire", "compatible", "--model", "qwen", *address)
    assert (spec_of("two").key, spec_of("two").model) == ("sk-typed", "qwen")
    models("add", "three", "--wire", "compatible", "--no-key", *address, "--options", '{"tools": "text"}')
    assert spec_of("three").options == {"tools": "text"}
    for wrong, why in (("tools=text", "JSON object"), ("[]", "JSON object"), ('{"tool": "text"}', "Unknown option")):
        with pytest.raises(CommandError, match=why):
            models("add", "four", "--wire", "compatible", "--no-key", *address, "--options", wrong)
    models("delete", "three")
    models("disable", "one")
    assert live_names() == ["two"]
    models("enable", "one")
    models("default", "one", "--anyway")
    assert live_names() == ["one", "two"]
    models("delete", "two")
    assert live_names() == ["one"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("add", "Bad Name", "--wire", "gemini", "--no-key"), "lower-case"), (("test", "nobody"), "no such model"),
        (("add", "x", "--wire", "compatible", "--no-key"), "needs its address"),
        (("add", "x", "--wire", "gemini", "--key-from", "NOT_SET_AT_ALL"), "NOT_SET_AT_ALL is not set"),
    ],
)  # fmt: skip
def test_what_is_refused_is_said(first: Cast, words: tuple[str, ...], problem: str) -> None:
    with pytest.raises(CommandError, match=problem):
        models(*words)
    assert not Profile.objects.exists()


def test_a_failed_test_ends_with_its_reason(first: Cast, make: Any, over: Callable[..., FakeWire]) -> None:
    make()
    over(click(1, 1))
    with pytest.raises(CommandError, match="0 of 5"):
        models("test", "claude")
    over(ModelMisconfigured("The key was refused."))
    with pytest.raises(CommandError, match="refused"):
        models("test", "claude")


def test_before_the_first_start_there_is_nothing_to_keep(db: None) -> None:
    with pytest.raises(CommandError, match=r"manage\.py up"):
        models("list")
