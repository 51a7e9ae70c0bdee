"""GET /v1/models: what works here."""

import pytest
from django.utils import timezone

from database.sealing import seal
from runs.agents.registry import is_known
from tests.cast import Api, Cast
from tests.conventions.conftest import only
from tests.inference.shots import profile

pytestmark = pytest.mark.django_db


def test_without_a_profile(live: Api) -> None:
    found = live.get("/models").json()
    assert found.keys() == {"models", "cua_versions", "action_types", "agents", "request_id"}
    assert found["models"] == []
    assert found["cua_versions"] == [{"id": "v1"}, {"id": "v3"}, {"id": "v4"}]
    assert found["action_types"] == [
        "click", "type_text", "key_press", "key_combo", "scroll", "drag", "move", "wait", "done", "fail"
    ]  # fmt: skip
    assert [agent["name"] for agent in found["agents"]] == ["playbook", "scripted"]


def test_profiles_that_work_now(live: Api) -> None:
    profile("claude", wire="anthropic", model="m1", key=seal("sk-secret"), base_url="")
    profile("again", model="m2", is_default=False)
    profile("off", model="m3", disabled_at=timezone.now(), is_default=False)
    profile("local", model="m2")
    answer = live.get("/models")
    found = answer.json()
    assert found["models"] == [{"id": "m2", "wire": "compatible"}, {"id": "m1", "wire": "anthropic"}]
    named = {agent["name"]: agent for agent in found["agents"]}
    assert list(named) == ["local", "again", "claude", "playbook", "scripted"]
    assert named["claude"] == {"name": "claude", "wire": "anthropic", "vision": True, "needs_key": True, "model": "m1"}
    assert named["local"]["needs_key"] is named["playbook"]["needs_key"] is named["playbook"]["vision"] is False
    assert b"secret" not in answer.content
    assert b"127.0.0.1" not in answer.content  # addresses of inner hosts are the owners' business
    assert all(is_known(name) for name in named)


@pytest.mark.parametrize("test", [True, False])
def test_any_key_may_ask_and_scripted_is_named_where_it_can_be_used(cast: Cast, settings: object, test: bool) -> None:
    settings.ALLOW_SCRIPTED_LIVE = False  # type: ignore[attr-defined]
    found = only(cast, test=test).get("/models").json()
    assert ("scripted" in {agent["name"] for agent in found["agents"]}) is test
