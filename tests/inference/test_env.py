"""Models that the environment names, and that nothing of a vendor is loaded where none is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from accounts.models import AuditEntry, Team
from config.up.supervisor import PLAYBOOK, agents
from inference.models import Profile
from inference.profiles import sdks, services
from inference.profiles.environment import take_over
from inference.specs import default_name, live_names, spec_of
from tests.cast import Cast
from web.errors import Invalid

ROOT = Path(settings.BASE_DIR)
SDKS = ("anthropic", "openai", "google.genai", "httpx2", "rapidocr", "onnxruntime")
db = pytest.mark.django_db


@db
@pytest.mark.parametrize(
    ("environ", "name", "wire", "model", "address"),
    [
        ({"ANTHROPIC_API_KEY": "k"}, "claude", "anthropic", "claude-opus-5-5", ""),
        ({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://proxy:8080"}, "claude", "anthropic", "claude-opus-5-5",
         "http://proxy:8080"),
        ({"OPENAI_API_KEY": "k"}, "gpt", "openai", "gpt-6-astra", ""),
        ({"OPENAI_API_KEY": " k\n", "OPENAI_BASE_URL": "https://eu.example.com/v1"}, "gpt", "openai", "gpt-6-astra",
         "https://eu.example.com/v1"),
        ({"GEMINI_API_KEY": "k"}, "gemini", "gemini", "gemini-3.5-flash", ""),
        ({"MODEL_BASE_URL": "http://127.0.0.1:11434/v1", "MODEL_NAME": "qwen3-vl:8b", "MODEL_API_KEY": "k"}, "local",
         "compatible", "qwen3-vl:8b", "http://127.0.0.1:11434/v1"),
    ],
)  # fmt: skip
def test_what_the_environment_names_is_there_and_the_default(
    first: Cast, environ: dict[str, str], name: str, wire: str, model: str, address: str
) -> None:
    (taken,) = take_over(environ)
    assert (taken.profile, taken.new, taken.problem) == (name, True, "")
    spec = spec_of(name)
    assert (spec.wire, spec.model, spec.base_url, spec.key) == (wire, model, address, "k")
    assert default_name() == name
    assert bool(spec.prices) == (wire != "compatible")


@db
def test_a_server_of_one_s_own_needs_no_key(first: Cast) -> None:
    take_over({"MODEL_BASE_URL": "http://127.0.0.1:8080/v1"})
    assert (spec_of("local").key, spec_of("local").model) == (None, "default")


@db
@pytest.mark.parametrize(
    "environ", [{}, {"ANTHROPIC_API_KEY": " "}, {"MODEL_NAME": "x"}, {"ANTHROPIC_BASE_URL": "http://h"}]
)
def test_nothing_named_is_nothing_made(first: Cast, environ: dict[str, str]) -> None:
    assert take_over(environ) == []
    assert not Profile.objects.exists()
    assert agents(dict(environ)) == [PLAYBOOK]


@db
def test_before_there_is_a_team_nothing_is_made() -> None:
    assert not Team.objects.exists()
    assert take_over({"ANTHROPIC_API_KEY": "k"}) == []


@db
def test_the_next_start_makes_no_second_one_and_takes_a_changed_key_over(first: Cast) -> None:
    take_over({"ANTHROPIC_API_KEY": "k"})
    (taken,) = take_over({"ANTHROPIC_API_KEY": "k"})
    assert (taken.new, taken.changed, spec_of("claude").version) == (False, False, 1)
    (taken,) = take_over({"ANTHROPIC_API_KEY": "k-two"})
    assert (taken.new, taken.changed) == (False, True)
    assert (spec_of("claude").key, spec_of("claude").version, live_names()) == ("k-two", 2, ["claude"])
    assert "k-two" not in str(list(AuditEntry.objects.values_list("data", flat=True)))


@db
def test_what_was_edited_on_the_page_stays(first: Cast) -> None:
    take_over({"ANTHROPIC_API_KEY": "k"})
    olga = first.actor("olga")
    services.update_profile(olga, "claude", {"model": "claude-opus-5"})
    take_over({"ANTHROPIC_API_KEY": "k"})
    assert spec_of("claude").model == "claude-opus-5"
    services.disable_profile(olga, "claude")
    take_over({"ANTHROPIC_API_KEY": "k"})
    assert live_names() == []
    assert default_name() is None


@db
def test_its_key_goes_where_the_environment_says_only(first: Cast) -> None:
    take_over({"ANTHROPIC_API_KEY": "k"})
    with pytest.raises(Invalid) as refused:
        services.update_profile(first.actor("olga"), "claude", {"base_url": "http://mine.test"})
    assert "ANTHROPIC_API_KEY" in str(refused.value.facts)
    take_over({"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://proxy"})
    assert spec_of("claude").base_url == "http://proxy"


@db
def test_a_variable_that_appears_later_is_taken_over_then(first: Cast) -> None:
    take_over({"ANTHROPIC_API_KEY": "k"})
    take_over({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "o"})
    assert live_names() == ["claude", "gpt"]  # the default first
    assert default_name() == "claude"


@db
def test_a_name_that_is_taken_leaves_what_has_it_alone(first: Cast) -> None:
    values = {"name": "claude", "wire": "anthropic", "model": "m", "base_url": "", "key": "mine", "options": {}, "prices": {},
              "limits": {}}  # fmt: skip
    services.create_profile(first.actor("olga"), values)
    assert take_over({"ANTHROPIC_API_KEY": "k"})[0].profile == "claude-2"
    assert spec_of("claude").key == "mine"


@db
@pytest.mark.parametrize(
    "environ",
    [{"MODEL_BASE_URL": "127.0.0.1:11434", "MODEL_API_KEY": "sk-secret"}, {"ANTHROPIC_API_KEY": "sk-secret\nx"},
     {"ANTHROPIC_API_KEY": "sk-secret", "ANTHROPIC_BASE_URL": "http://u:sk-secret@h"}],
)  # fmt: skip
def test_what_cannot_be_taken_over_is_told_without_the_key(first: Cast, environ: dict[str, str]) -> None:
    (line, last) = agents(dict(environ))
    assert "was not taken over" in line
    assert "secret" not in line
    assert last == PLAYBOOK
    assert not Profile.objects.exists()


@db
def test_the_start_says_who_thinks_and_keeps_no_key_in_the_environment(
    first: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdks, "installed", lambda wire: wire != "gemini")
    environ = {"ANTHROPIC_API_KEY": "k", "GEMINI_API_KEY": "g", "MODEL_API_KEY": "m", "PATH": "/bin"}
    lines = agents(environ)
    assert environ == {"PATH": "/bin"}
    assert "the model claude drives runs" in lines[0]
    assert "google.genai is not installed" in lines[1]
    assert "make models" in lines[1]
    assert len(lines) == 2


def test_installed_sdks_are_found_without_being_imported() -> None:
    code = "import sys; from inference.profiles.sdks import installed as i; i('anthropic'), i('gemini'); print('anthropic' in sys.modules)"
    assert run_python(code) == "False"


# What web and worker processes load before the first request and the first task.
PROCESSES = {
    "web": "import config.asgi; from django.urls import get_resolver; get_resolver()._populate()",
    "worker": "import runs.tasks, runs.driving.loop, runs.driving.drive, workflows.tasks, django_q.cluster, runs.agents.registry",
    "clock": "import config.clock",
}


@pytest.mark.parametrize("process", PROCESSES)
def test_without_a_profile_no_sdk_is_imported(process: str) -> None:
    code = f"import sys; {PROCESSES[process]}; print([name for name in {SDKS} if name in sys.modules])"
    assert run_python(code, process) == "[]"


def run_python(code: str, process: str = "") -> str:
    environ = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings", "COUNTERSIGN_PROCESS": process}
    done = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(); {code}"], cwd=ROOT, env=environ, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
