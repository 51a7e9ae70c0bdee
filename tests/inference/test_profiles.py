"""Model profiles: who keeps them, what they may hold, which one thinks."""

import threading
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.actor import Actor, system
from accounts.errors import InstallationOwnersOnly
from accounts.models import AuditEntry, Membership, Team
from inference.calls.services import record_calls
from inference.errors import ModelMisconfigured
from inference.models import Call, Profile
from inference.profiles import services, trials
from inference.profiles.access import get_profile, use_since
from inference.records import CallRecord, Usage
from inference.specs import default_name, live_names, spec_of, verifier_of
from runs.agents.registry import is_known, names
from tests.cast import Api, Cast
from tests.conventions.test_team import locs
from tests.inference.conftest import VALUES, Make
from web.errors import Invalid, InvalidState, NotFound

pytestmark = pytest.mark.django_db
CHANGES: dict[str, Any] = {
    "create": lambda actor, row: services.create_profile(actor, VALUES | {"name": "other"}),
    "update": lambda actor, row: services.update_profile(actor, row.id, {"model": "x"}),
    "default": lambda actor, row: services.set_default(actor, row.id, anyway=True),
    "clear": lambda actor, row: services.clear_default(actor, row.id),
    "disable": lambda actor, row: services.disable_profile(actor, row.id),
    "enable": lambda actor, row: services.enable_profile(actor, row.id),
    "delete": lambda actor, row: services.delete_profile(actor, row.id),
    "test": lambda actor, row: trials.start(actor, row.id, in_thread=False),
    "read": lambda actor, row: get_profile(actor, row.id),
}


def called(name: str, purpose: Any = "act", cost: int | None = 5, **more: Any) -> CallRecord:
    now = timezone.now()
    return CallRecord(name, "anthropic", "m", purpose, "ok", now, now, cost_microcents=cost, **more)


@pytest.mark.parametrize("change", CHANGES)
def test_only_owners_of_the_first_team_keep_profiles(first: Cast, strangers: Cast, make: Make, change: str) -> None:
    row = make()
    for actor in (
        *(first.actor(name) for name in ("adam", "ana", "alice", "bob")), strangers.actor("olga"),
        Actor(first.team.id, False, "api_key", "key_1", "a key", first.actor("olga").scopes, owner_id=first.people["olga"].id),
    ):  # fmt: skip
        with pytest.raises(InstallationOwnersOnly):
            CHANGES[change](actor, row)
    row.refresh_from_db()
    assert (row.version, row.is_default, row.disabled_at, row.tested, Profile.objects.count()) == (
        1,
        False,
        None,
        None,
        1,
    )
    CHANGES[change](first.actor("olga"), row)


def test_an_owner_of_the_first_team_keeps_them_from_another_team_too(first: Cast, strangers: Cast) -> None:
    olga = first.people["olga"]
    Membership.objects.create(user=olga, team=strangers.team, roles=["viewer"])
    there = Actor(
        strangers.team.id, True, "user", olga.id, "Olga", frozenset(), frozenset({"viewer"}), owner_id=olga.id
    )
    row = services.create_profile(there, VALUES)
    assert AuditEntry.objects.get(subject=row.id).team_id == first.team.id


def test_a_key_is_sealed_and_appears_in_no_audit_entry(first: Cast, make: Make) -> None:
    row = make()
    assert row.key is not None
    assert b"sk-very-secret" not in bytes(row.key)
    assert spec_of("claude").key == "sk-very-secret"
    services.update_profile(first.actor("olga"), row.id, {"key": "sk-even-more-secret"})
    assert "secret" not in str(list(AuditEntry.objects.values()))


def test_an_edit_without_a_key_keeps_it_and_an_empty_one_takes_it_away(first: Cast, make: Make) -> None:
    row, olga = make(), first.actor("olga")
    services.update_profile(olga, row.id, {"model": "other", "key": None})
    assert (spec_of("claude").model, spec_of("claude").key) == ("other", "sk-very-secret")
    services.update_profile(olga, row.id, {"key": ""})
    assert spec_of("claude").key is None


def test_every_change_makes_a_new_version_and_nothing_else_does(first: Cast, make: Make) -> None:
    row, olga = make(), first.actor("olga")
    assert services.update_profile(olga, row.id, {"model": VALUES["model"]}).version == 1
    assert services.update_profile(olga, row.id, {"limits": {"depth": 5}}).version == 2
    assert spec_of("claude").version == 2
    services.disable_profile(olga, row.id)
    assert services.enable_profile(olga, row.id).version == 2
    verbs = list(AuditEntry.objects.filter(subject=row.id).order_by("id").values_list("verb", flat=True))
    assert verbs == ["model.created", "model.updated", "model.disabled", "model.enabled"]


@pytest.mark.parametrize(
    ("wrong", "at"),
    [
        ({"name": ""}, "name"), ({"name": "Claude"}, "name"), ({"name": "a b"}, "name"), ({"name": "x" * 65}, "name"),
        ({"name": "playbook"}, "name"), ({"name": "scripted"}, "name"), ({"name": "-x"}, "name"), ({"name": "a\n"}, "name"),
        ({"wire": "telnet"}, "wire"), ({"model": " "}, "model"), ({"model": "x" * 129}, "model"), ({"model": "a\nb"}, "model"),
        ({"wire": "compatible"}, "base_url"), ({"base_url": "ftp://x"}, "base_url"), ({"base_url": "http://"}, "base_url"),
        ({"base_url": "http://u:p@host/v1"}, "base_url"), ({"base_url": "http://h:99999"}, "base_url"),
        ({"base_url": "http://h/?key=1"}, "base_url"), ({"base_url": "http://[x"}, "base_url"),
        ({"key": "a\nb"}, "key"), ({"key": "schlüssel"}, "key"), ({"key": "x" * 4097}, "key"),
        ({"options": {"nonsense": 1}}, "options"), ({"options": {"coordinates": "miles"}}, "options"),
        ({"options": {"max_side": True}}, "options"), ({"options": {"max_side": 1.5}}, "options"),
        ({"options": {"stop": "x"}}, "options"), ({"options": {"extra_body": []}}, "options"),
        ({"options": {"min_pixels": 5, "max_pixels": 4}}, "options"),
        ({"options": {"extra_body": {"x": float("inf")}}}, "options"), ({"options": {"extra_body": {"x": float("nan")}}}, "options"),
        ({"base_url": "http://a b/"}, "base_url"),
        ({"options": {"extra_body": {"x": "\0"}}}, "options"), ({"options": {"extra_body": {"x": "y" * 20_000}}}, "options"),
        ({"prices": {"input": -1}}, "prices"), ({"prices": {"input": "1"}}, "prices"), ({"prices": {"lunch": 1}}, "prices"),
        ({"prices": {"input": float("nan")}}, "prices"),
        ({"limits": {"concurrent": 0}}, "limits"), ({"limits": {"depth": 0}}, "limits"), ({"limits": {"x": 1}}, "limits"),
    ],
)  # fmt: skip
def test_what_a_profile_may_not_hold(first: Cast, wrong: dict[str, Any], at: str) -> None:
    with pytest.raises(Invalid) as refused:
        services.create_profile(first.actor("olga"), VALUES | wrong)
    assert at in {detail["loc"][1] for detail in refused.value.facts["details"]}
    assert not Profile.objects.exists()


@pytest.mark.parametrize(
    "address", ["http://127.0.0.1:11434/v1", "http://ollama:11434/v1", "https://models.example.com", "http://10.0.0.3"]
)
def test_inner_hosts_are_allowed_on_purpose(first: Cast, address: str) -> None:
    row = services.create_profile(first.actor("olga"), VALUES | {"wire": "compatible", "base_url": address})
    assert row.base_url == address


def test_two_profiles_have_two_names(first: Cast, make: Make) -> None:
    make()
    with pytest.raises(Invalid, match="not valid"):
        make()


def test_a_spec_has_everything_that_the_row_has(make: Make) -> None:
    make(options={"effort": "low"}, prices={"input": 1, "output": 2}, limits={"depth": 3}, base_url="http://h/v1")
    spec = spec_of("claude")
    assert (spec.wire, spec.model, spec.base_url) == ("anthropic", "claude-opus-5-5", "http://h/v1")
    assert (spec.options, spec.prices, spec.limits) == ({"effort": "low"}, {"input": 1, "output": 2}, {"depth": 3})


def test_what_is_gone_or_disabled_is_told_in_words(first: Cast, make: Make, settings: Any) -> None:
    with pytest.raises(ModelMisconfigured, match="no model profile “claude”"):
        spec_of("claude")
    row = make()
    services.disable_profile(first.actor("olga"), row.id)
    with pytest.raises(ModelMisconfigured, match="disabled"):
        spec_of("claude")
    services.enable_profile(first.actor("olga"), row.id)
    settings.SECRET_KEY = "another one"
    with pytest.raises(ModelMisconfigured, match="SECRET_KEY"):
        spec_of("claude")


def test_the_default_is_one_live_profile_that_passed_its_test_or_is_used_anyway(first: Cast, make: Make) -> None:
    olga, one, two = first.actor("olga"), make(name="one"), make(name="two")
    assert default_name() is None
    with pytest.raises(InvalidState, match="has not passed"):
        services.set_default(olga, one.id)
    services.set_default(olga, one.id, anyway=True)
    assert default_name() == "one"
    Profile.objects.filter(id=two.id).update(tested={"passed": True, "version": 1})
    services.set_default(olga, two.id)
    assert default_name() == "two"
    assert live_names() == ["two", "one"]
    services.disable_profile(olga, two.id)
    assert default_name() is None
    with pytest.raises(InvalidState, match="disabled"):
        services.set_default(olga, two.id, anyway=True)
    services.enable_profile(olga, two.id)
    assert default_name() is None
    services.set_default(olga, two.id)
    services.clear_default(olga, two.id)
    assert default_name() is None


def test_a_passed_test_of_an_older_version_does_not_count(first: Cast, make: Make) -> None:
    olga, row = first.actor("olga"), make()
    Profile.objects.filter(id=row.id).update(tested={"passed": True, "version": 1})
    services.update_profile(olga, row.id, {"model": "other"})
    with pytest.raises(InvalidState):
        services.set_default(olga, row.id)


def test_only_what_no_run_used_can_be_deleted(first: Cast, make: Make) -> None:
    olga, unused, tested, used = first.actor("olga"), make(name="unused"), make(name="tested"), make(name="used")
    record_calls([called("tested", "test"), called("used")], team_id=first.team.id, test=False)
    services.delete_profile(olga, unused.id)
    services.delete_profile(olga, tested.id)
    with pytest.raises(InvalidState, match="Disable it instead"):
        services.delete_profile(olga, used.id)
    assert live_names() == ["used"]
    with pytest.raises(NotFound):
        services.delete_profile(olga, unused.id)


def test_the_verifier_is_the_one_named_else_another_else_itself(first: Cast, make: Make) -> None:
    make(name="alone")
    assert verifier_of("alone").name == "alone"
    make(name="b")
    assert verifier_of("alone").name == "b"
    third = make(name="c")
    chooser = make(name="chooser", options={"verifier": "c"})
    assert verifier_of(chooser.name).name == "c"
    services.disable_profile(first.actor("olga"), third.id)
    assert verifier_of(chooser.name).name in ("alone", "b")


def test_what_a_profile_was_used_for(first: Cast, make: Make) -> None:
    make()
    calls = [called("claude", cost=7), called("claude", cost=None), called("other")]
    record_calls(calls, team_id=first.team.id, test=False)
    use = use_since(timezone.now().replace(year=2020), ["claude"])["claude"]
    assert (use.calls, use.microcents, use.unknown) == (2, 7, 1)


# --- which agent a run has


def machine_of(live: Api) -> str:
    machine: str = live.post("/machines", {"display_name": "m", "kind": "simulated"}).json()["id"]
    return machine


def test_the_agent_is_the_team_s_else_the_default_profile_else_the_playbook(
    first: Cast, live: Api, make: Make, settings: Any
) -> None:
    body = {"task": "x", "machine_id": machine_of(live)}
    assert live.post("/runs", body).json()["agent"] == "playbook"
    assert live.get("/team").json()["default_agent"] == "playbook"
    services.set_default(first.actor("olga"), make().id, anyway=True)
    assert live.post("/runs", body).json()["agent"] == "claude"
    assert live.get("/team").json()["default_agent"] == "claude"
    settings.DEFAULT_AGENT = "playbook"  # as it stands in the environment
    assert live.post("/runs", body).json()["agent"] == "playbook"
    settings.DEFAULT_AGENT = ""
    Team.objects.filter(id=first.team.id).update(default_agent="scripted")
    assert live.post("/runs", body).json()["agent"] == "scripted"


def test_a_run_with_an_unknown_or_disabled_profile_is_422_and_names_the_known_ones(
    first: Cast, live: Api, make: Make
) -> None:
    body = {"task": "x", "machine_id": machine_of(live)}
    make()
    services.disable_profile(first.actor("olga"), make(name="off").id)
    assert names() == ["playbook", "scripted", "claude"]
    assert [is_known(name) for name in ("playbook", "claude", "off", "nobody")] == [True, True, False, False]
    assert not any(map(is_known, ("", "cl\0aude", "\ud800", "x" * 100_000, "claude\n")))
    for agent in ("off", "nobody"):
        answer = live.post("/runs", body | {"agent": agent})
        assert locs(answer) == [["body", "agent"]]
        assert "playbook, scripted, claude" in answer.json()["error"]["details"][0]["msg"]
    assert live.post("/runs", body | {"agent": "claude"}).status_code == 200


# --- the calls of a run


def test_the_calls_of_a_run_are_listed_oldest_first(first: Cast, live: Api, test_key: Api, strangers: Cast) -> None:
    run = live.post("/runs", {"task": "x", "agent": "scripted", "machine_id": machine_of(live)}).json()["id"]
    usage = Usage(input=10, cached=4, cache_written=1, output=3, reasoning=2)
    record_calls([called("claude", usage=usage, request_id="r1"), called("claude", "verify", None)],
                 team_id=first.team.id, test=False, run_id=run, step_index=1)  # fmt: skip
    record_calls([called("claude")], team_id=first.team.id, test=False, run_id="run_other")
    listed = live.get(f"/runs/{run}/calls").json()
    assert (listed["object"], len(listed["data"]), listed["has_more"]) == ("list", 2, False)
    call = listed["data"][0]
    assert call.pop("id").startswith("mca_")
    times = [call.pop(name) for name in ("started_at", "ended_at")]
    assert all(each.endswith("Z") for each in times)
    assert call == {
        "object": "model_call", "run_id": run, "profile": "claude", "wire": "anthropic", "model": "m", "purpose": "act",
        "status": "ok", "why": None, "step_index": 1, "input_tokens": 10, "cached_tokens": 4, "cache_written_tokens": 1,
        "output_tokens": 3, "reasoning_tokens": 2, "cost_microcents": 5, "first_byte_at": None, "request_id": "r1",
    }  # fmt: skip
    assert listed["data"][1]["cost_microcents"] is None
    part = live.get(f"/runs/{run}/calls?limit=1").json()
    assert live.get(f"/runs/{run}/calls?cursor={part['next_cursor']}").json()["data"] == listed["data"][1:]
    for other in (test_key, strangers.api()):
        assert other.get(f"/runs/{run}/calls").status_code == 404
    assert first.api(scopes=frozenset({"machines:read"})).get(f"/runs/{run}/calls").status_code == 403


def test_the_calls_of_a_test_run_are_found_in_the_test_world(first: Cast, test_key: Api, live: Api) -> None:
    run = test_key.post("/runs", {"task": "x"}).json()["id"]
    record_calls([called("claude")], team_id=first.team.id, test=True, run_id=run)
    assert len(test_key.get(f"/runs/{run}/calls").json()["data"]) == 1
    assert live.get(f"/runs/{run}/calls").status_code == 404


# --- races


@pytest.mark.django_db(transaction=True)
def test_of_two_defaults_made_at_once_one_is_left(first: Cast, make: Make) -> None:
    rows, errors = [make(name="one"), make(name="two")], []
    olga, ready = first.actor("olga"), threading.Barrier(2)

    def choose(row: Profile) -> None:
        try:
            ready.wait(10)
            services.set_default(olga, row.id, anyway=True)
        except Exception as error:  # noqa: BLE001
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=choose, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []
    assert Profile.objects.filter(is_default=True).count() == 1


def test_who_lost_the_role_while_waiting_changes_nothing(first: Cast, make: Make) -> None:
    olga = first.actor("olga")
    Membership.objects.filter(user=first.people["olga"], team=first.team).update(roles=["admin"])
    with pytest.raises(InstallationOwnersOnly):
        services.create_profile(olga, VALUES)


def test_what_is_done_on_the_computer_itself_is_the_system_s(first: Cast) -> None:
    row = services.create_profile(system(first.team.id, False), VALUES)
    assert row.created_by["type"] == "system"
    assert not Call.objects.exists()


def test_a_key_goes_to_no_other_server_unless_it_is_entered_again(first: Cast, make: Make) -> None:
    row = make(name="local", wire="compatible", base_url="http://inner:8000/v1")
    for elsewhere in ("http://mine.test:8000/v1", "http://inner:8001/v1", "https://inner:8000/v1"):
        with pytest.raises(Invalid) as refused:
            services.update_profile(first.actor("olga"), row.id, {"base_url": elsewhere})
        assert "goes to another server" in str(refused.value.facts)
    assert spec_of("local").base_url == "http://inner:8000/v1"
    services.update_profile(first.actor("olga"), row.id, {"base_url": "http://INNER:8000/v2"})
    services.update_profile(first.actor("olga"), row.id, {"base_url": "http://mine.test:8000/v1", "key": "sk-new"})
    assert (spec_of("local").base_url, spec_of("local").key) == ("http://mine.test:8000/v1", "sk-new")
