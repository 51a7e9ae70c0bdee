"""Runs that put secrets in, at the door: on a real browser, a real terminal and a simulated machine."""

import base64
import io
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.utils.module_loading import import_string
from django_q.models import OrmQ
from PIL import Image

from accounts.models import AuditEntry, TeamSecret
from accounts.secrets import totp
from machines import pictures
from machines.actions import typed_secrets
from machines.drivers.base import Action, Session
from machines.drivers.browser.page.masking import COLOR
from machines.drivers.simulated import SimulatedSession
from machines.models import Machine
from machines.processes.sessions import with_session
from runs.agents import registry
from runs.agents.base import Act, Context, Decision, Finish
from runs.driving import leases
from runs.models import Run, Screenshot
from runs.secrets import services as run_secrets
from runs.secrets.handles import pieces_of
from tests.cast import Api, Cast
from tests.drivers.conftest import Site, site  # noqa: F401
from tests.runs.at_terminal import Terminal
from tests.runs.conftest import terminal  # noqa: F401
from tests.runs.driving import Inline, Once, begin, data_of, drive_all, ended, go, request_of, show, waiting
from tests.runs.invariants import check_run
from tests.runs.test_field_runs import Desk, desk  # noqa: F401
from tests.runs.test_secrets import _dump

pytestmark = pytest.mark.django_db(transaction=True)
VALUE = "tr0ub4dor-and-3"
H = "{{secret:shop password}}"
FORM = """<!doctype html><title>Form</title><form action=/done><label>Password <input type=password name=p></label>
<label>Plain <input name=plain></label><button>Send</button><output id=o></output></form>
<script>document.querySelector('[name=plain]').oninput = (e) => { o.textContent = `You typed ${e.target.value}`; }</script>"""


def make(api: Api, name: str = "shop password", **body: Any) -> None:
    kind = {} if "totp_seed" in body else {"value": VALUE}
    answer = api.post("/secrets", {"name": name, "hosts": ["127.0.0.1"], **kind, **body})
    assert answer.status_code == 201, answer.content


class Does:
    """An agent that does these actions one after the other; texts in them name secrets."""

    thinks = False

    def __init__(self, *actions: tuple[str, dict[str, Any]]) -> None:
        self.actions = actions

    async def next(self, context: Context, session: Session) -> Decision:
        at = context.step_index - 1
        if at >= len(self.actions):
            return Decision(Finish(True, f"done {context.last}"), {})
        name, params = self.actions[at]
        texts = {
            key: pieces for key, value in params.items() if isinstance(value, str) and (pieces := pieces_of(value))
        }
        return Decision(Act(Action(name, params), secrets=texts), {}, text=(await session.text())[:4000])


@pytest.fixture
def does(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    return lambda *actions: monkeypatch.setitem(registry._AGENTS, "playbook", Does(*actions))  # type: ignore[arg-type]


def nowhere(api: Api, run: dict[str, Any], *texts: str) -> None:
    dump = _dump()
    answers = "".join(
        api.get(path).content.decode()
        for path in (f"/runs/{run['id']}", f"/runs/{run['id']}/events?format=json&limit=200", "/approvals?status=all")
    )
    for text in (VALUE, *texts):
        assert text not in dump
        assert text not in answers


def error(run: dict[str, Any]) -> str:
    (result,) = [data for data in data_of(run["id"], "tool_result") if not data["success"]]
    return str(result["error"])


# --- starting


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"task": f"log in with {H}"}, ["body", "task"]),
        ({"input": {"goal": f"log in with {H}"}}, ["body", "input", "goal"]),
        ({"input": {"goal": "x", "login": [{"password": H}]}}, ["body", "input", "login", 0, "password"]),
    ],
)
def test_a_secret_that_is_not_there_is_422_and_named(
    live: Api, test_key: Api, body: dict[str, Any], loc: list[Any]
) -> None:
    make(test_key)  # of the other world
    refused = live.post("/runs", {**body, "agent": "playbook"})
    assert refused.status_code == 422
    assert refused.json()["error"]["details"] == [
        {"loc": loc, "msg": 'There is no secret "shop password".', "type": "value_error"}
    ]
    assert not Run.objects.exists()
    assert test_key.post("/runs", body).status_code == 200


# --- on a page


@pytest.mark.browser
def test_T_187_what_a_run_put_in_is_taken_out_of_all_that_it_reads(desk: Desk, live: Api, does: Any) -> None:  # noqa: F811
    make(live)
    url = desk.site.page(FORM, "/p")
    at = _places(desk, url)
    does(
        ("open_url", {"url": url}), ("click", at["Plain"]), ("type_text", {"text": f"{H}"}), ("wait", {"ms": 1}),
        ("fill", {**at["Password"], "text": H}), ("key_press", {"key": "enter"}), ("wait", {"ms": 1}),
    )  # fmt: skip
    run = ended(live, "sign in", machine_id=desk.id, agent="playbook", human_in_the_loop=False)
    assert run["status"] == "succeeded", run
    assert any(line.startswith(f"GET /done?p={VALUE}&plain={VALUE}") for line in desk.site.asked)  # it went in, twice
    texts = " ".join(data["text"] for data in data_of(run["id"], "text"))
    assert "You typed [redacted]" in texts
    typed = [data["params"]["text"] for data in data_of(run["id"], "tool_call") if "text" in data["params"]]
    assert typed == [H, H]
    nowhere(live, run)
    assert _masked(run) >= 3
    uses = AuditEntry.objects.filter(verb="secret.used").order_by("id")
    assert [(use.data["run_id"], use.data["host"], use.data["action"]) for use in uses] == [
        (run["id"], "127.0.0.1", "type_text"), (run["id"], "127.0.0.1", "fill"),
    ]  # fmt: skip
    row = TeamSecret.objects.get()
    assert (row.last_used_run_id, row.last_used_at is not None) == (run["id"], True)
    assert Run.objects.get(id=run["id"]).secrets is None
    check_run(run["id"])


def _places(desk: Desk, url: str) -> dict[str, dict[str, int]]:  # noqa: F811
    """Where the fields are: the page is opened by hand for it."""
    answer = desk.api.post(f"/machines/{desk.id}/actions", {"command": "open_url", "parameters": {"url": url}})
    assert answer.status_code == 200, answer.content

    async def look(session: Session) -> dict[str, dict[str, int]]:
        found = [one for one in await session.elements() if one.role == "textbox"]
        return {one.name: {"x": one.center[0], "y": one.center[1]} for one in found}

    return with_session(Machine.objects.get(id=desk.id), look, 20)


def _text_of(desk: Desk) -> str:  # noqa: F811
    """What the page shows, to somebody who does not know the secret."""

    async def look(session: Session) -> str:
        return await session.text()

    return with_session(Machine.objects.get(id=desk.id), look, 20)


def _masked(run: dict[str, Any]) -> int:
    """How many of the run's pictures have a mask."""
    found = 0
    for shot in Screenshot.objects.filter(run_id=run["id"]):
        image = Image.open(io.BytesIO(pictures.read(shot.sha256))).convert("RGB")
        found += COLOR in {color for _, color in image.getcolors(1 << 24) or []}
    return found


@pytest.mark.browser
def test_a_page_of_another_host_gets_nothing_and_the_audit_says_so(desk: Desk, live: Api) -> None:  # noqa: F811
    make(live, hosts=["*.example.com"])
    run = desk.run(FORM, 'open P, type the secret "shop password" into "Password"')
    assert run["status"] == "failed"
    assert error(run) == "The secret was not put in: 127.0.0.1 is not among its hosts."
    assert desk.held()["Password"] == ""
    verbs = AuditEntry.objects.filter(subject=TeamSecret.objects.get().id).order_by("id").values_list("verb", flat=True)
    assert list(verbs) == ["secret.created", "secret.used", "secret.withheld"]
    nowhere(live, run)


@pytest.mark.browser
def test_the_card_names_the_secret_and_the_host_and_what_was_approved_is_typed(desk: Desk, live: Api) -> None:  # noqa: F811
    make(live)
    url = desk.site.page(FORM, "/p")
    asking = {"human_in_the_loop": True, "permission_mode": "approval"}
    task = f'open {url}, type the secret "shop password" into "Password"'
    run = waiting(live, task, machine_id=desk.id, agent="playbook", **asking)
    live.post(f"/approvals/{request_of(live, run)['id']}/decide", {"verdict": "approve"})
    drive_all()
    card = request_of(live, run)
    assert card["title"] == 'Fill textbox "Password" with the secret "shop password" on 127.0.0.1 (enters a password)'
    assert (card["action"]["params"]["text"], card["action"]["host"]) == (H, "127.0.0.1")
    live.post(f"/approvals/{card['id']}/decide", {"verdict": "approve"})
    drive_all()
    assert show(live, run["id"])["status"] == "succeeded"
    assert desk.held()["Password"] == "•" * len(VALUE)
    nowhere(live, run)


@pytest.mark.browser
def test_a_secret_that_is_deleted_while_the_run_waits_is_not_there_any_more(desk: Desk, live: Api) -> None:  # noqa: F811
    make(live)
    url = desk.site.page(FORM, "/p")
    task = f'open {url}, ask for approval, type {H} into "Password"'
    run = waiting(live, task, machine_id=desk.id, agent="playbook")
    assert live.delete("/secrets/shop%20password").status_code == 204
    live.post(f"/approvals/{request_of(live, run)['id']}/decide", {"verdict": "approve"})
    drive_all()
    asked = request_of(live, run)  # the playbook asks what to do now
    assert 'There is no secret "shop password" any more.' in asked["questions"][0]["question"]
    assert error(run) == 'There is no secret "shop password" any more.'


@pytest.mark.browser
def test_a_code_that_is_about_to_run_out_is_waited_for(
    desk: Desk,  # noqa: F811
    live: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(live, "code", totp_seed="JBSWY3DPEHPK3PXP")
    clock = [1_000_000_019.0 - 1_000_000_019.0 % 30 + 29.99, 1_000_000_019.0 - 1_000_000_019.0 % 30 + 30.2]
    times = iter(clock)
    asked: list[float] = []

    def now() -> float:
        asked.append(next(times))
        return asked[-1]

    monkeypatch.setattr(run_secrets, "_now", now)
    run = desk.run(FORM, 'open P, type the secret "code" into "Plain"')
    assert run["status"] == "succeeded", run
    assert asked == clock  # the first had a hundredth of a second left
    typed = totp.code("JBSWY3DPEHPK3PXP", clock[1])
    assert desk.held()["Plain"] == "••••••"
    assert f"You typed {typed}" in _text_of(desk)
    nowhere(live, run, typed)
    assert TeamSecret.objects.get().last_used_run_id == run["id"]


@pytest.mark.browser
def test_a_secret_goes_into_nothing_but_fields(desk: Desk, live: Api, does: Any) -> None:  # noqa: F811
    make(live)
    url = desk.site.page(FORM, "/p")
    does(("open_url", {"url": f"{url}?p={H}"}))
    run = ended(live, "x", machine_id=desk.id, agent="playbook", human_in_the_loop=False)
    assert error(run) == "A secret can only be typed: into a field of a page, or into a terminal."
    assert not AuditEntry.objects.filter(verb="secret.used").exists()


# --- in a terminal


def test_a_terminal_gets_it_when_it_is_among_the_machines(terminal: Terminal, live: Api, does: Any) -> None:  # noqa: F811
    make(live)
    does(
        ("run_line", {"command": f"export TOKEN='{H}'"}), ("run_line", {"command": 'echo "<$TOKEN>"'}),
        ("type_text", {"text": f"echo {H}"}),
    )  # fmt: skip
    task = {"machine_id": terminal.id, "agent": "playbook", "human_in_the_loop": False}
    refused = ended(live, "x", **task)
    errors = [data["error"] for data in data_of(refused["id"], "tool_result") if not data["success"]]
    assert errors == ['The secret "shop password" is not for this terminal: it is not among its machines.'] * 2
    assert live.put("/secrets/shop%20password", {"machines": [terminal.id]}).status_code == 200
    run = ended(live, "x", **task)
    assert run["status"] == "succeeded"
    results = data_of(run["id"], "tool_result")
    assert [result["success"] for result in results] == [True, True, True]
    assert "<[redacted]>" in results[1]["output"]
    nowhere(live, run)
    assert "[redacted]" in " ".join(data["text"] for data in data_of(run["id"], "text"))
    last = Screenshot.objects.filter(run_id=run["id"]).order_by("index").last()
    assert last is not None
    seen = pictures.read(last.sha256)
    shown = with_values_of(terminal)
    assert VALUE in shown  # the screen has it, the picture does not
    assert _looks_like(terminal, seen)


def with_values_of(terminal: Terminal) -> str:  # noqa: F811
    async def look(session: Session) -> str:
        return await session.text()

    return with_session(Machine.objects.get(id=terminal.id), look, 20)


def _looks_like(terminal: Terminal, png: bytes) -> bool:  # noqa: F811
    """The stored picture is the screen with the secret painted over, pixel by pixel."""

    async def look(session: Session) -> bytes:
        return (await session.screenshot((VALUE,))).png

    return with_session(Machine.objects.get(id=terminal.id), look, 20) == png


# --- simulated machines, worlds, what it costs


def test_a_simulated_machine_is_never_given_a_value(test_key: Api, does: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    make(test_key)
    does(("type_text", {"text": H}), ("type_text", {"text": "{{secret:other}}"}))
    given: list[Any] = []
    act = SimulatedSession.act

    async def listening(self: Any, action: Action) -> Any:
        given.append(action.params)
        return await act(self, action)

    monkeypatch.setattr(SimulatedSession, "act", listening)
    run = ended(test_key, "x", agent="playbook")
    assert given == [{"text": H}]
    assert error(run) == 'There is no secret "other" any more.'
    assert TeamSecret.objects.get().last_used_run_id == run["id"]
    nowhere(test_key, run)


def test_a_secret_of_the_other_world_or_another_team_is_not_there(
    test_key: Api, live: Api, strangers: Cast, does: Any
) -> None:
    make(live)
    make(strangers.api(test=True))
    does(("type_text", {"text": H}))
    run = ended(test_key, "x", agent="playbook")
    assert error(run) == 'There is no secret "shop password" any more.'
    assert not AuditEntry.objects.filter(verb="secret.used").exists()


def test_what_is_sealed_is_opened_once_until_it_changes(
    test_key: Api, does: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(test_key)
    does(("type_text", {"text": H}), *[("click", {"x": 1, "y": 2})] * 5)
    opened: list[Any] = []
    unseal = run_secrets.unseal
    monkeypatch.setattr(run_secrets, "unseal", lambda token: opened.append(token) or unseal(token))
    run = ended(test_key, "x", agent="playbook")
    assert run["status"] == "succeeded"
    assert len(opened) == 1


def test_a_run_that_was_lost_meanwhile_gets_nothing(test_key: Api, live: Api, does: Any) -> None:
    """What is handed out is handed to the run as it is now: cancelled, it gets nothing."""
    make(test_key)
    made = begin(test_key, "x", agent="playbook")
    run = Run.objects.get(id=made["id"])
    act = Act(Action("type_text", {"text": H}), secrets={"text": pieces_of(H) or ()})
    assert run_secrets.ready(run, act) is None
    with pytest.raises(run_secrets.LeaseLost):
        run_secrets.opened(run, run.lease_epoch, act)  # queued: no worker drives it
    assert not AuditEntry.objects.filter(verb="secret.used").exists()


def test_a_secret_that_was_sealed_with_another_key_is_kept_anew(test_key: Api, does: Any) -> None:
    make(test_key)
    TeamSecret.objects.update(sealed=b"gAAAAABnot-ours")
    does(("type_text", {"text": H}))
    run = ended(test_key, "x", agent="playbook")
    assert error(run) == 'The secret "shop password" cannot be opened any more: its value has to be kept anew.'
    assert test_key.put("/secrets/shop%20password", {"value": VALUE}).status_code == 200
    assert ended(test_key, "x", agent="playbook")["status"] == "succeeded"


def test_an_action_without_a_secret_of_the_team_costs_no_visit_to_the_database(test_key: Api, does: Any) -> None:
    does(("click", {"x": 1, "y": 2}), ("type_text", {"text": "plain"}))

    class Counting(Inline):
        work: ClassVar[list[str]] = []

        async def db(self, work: Callable[..., Any], *args: Any) -> Any:
            self.work.append(work.__name__)
            return await super().db(work, *args)

    begin(test_key, "x", agent="playbook")
    ((run_id, epoch),) = leases.claim(Inline.name, 1)
    go(Once(Counting(), run_id, epoch))
    assert Counting.work == ["load", *["rule", "write_intent", "write_outcome"] * 2, "end"]


def test_a_value_that_was_put_in_is_never_forgotten_however_many_codes_follow(
    test_key: Api, does: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(test_key)
    make(test_key, "code", totp_seed="JBSWY3DPEHPK3PXP")
    does(("type_text", {"text": H}))
    made = begin(test_key, "x", agent="playbook")
    ((_, epoch),) = leases.claim(Inline.name, 1)
    Run.objects.filter(id=made["id"]).update(status="running")
    run = Run.objects.get(id=made["id"])
    times = iter(range(1_000_000_020, 1_000_000_020 + 70 * 30, 30))
    monkeypatch.setattr(run_secrets, "_now", lambda: float(next(times)))
    for text in (H, *["{{secret:code}}"] * 60):
        act = Act(Action("type_text", {"text": text}), secrets={"text": pieces_of(text) or ()})
        run_secrets.opened(run, epoch, act)
    hidden = run_secrets.kept_secrets(Run.objects.get(id=run.id)).hidden
    assert VALUE in hidden.secrets
    assert len(hidden.secrets) == 51


@pytest.mark.browser
def test_a_model_that_selects_what_was_typed_cannot_copy_it(desk: Desk, live: Api, does: Any) -> None:  # noqa: F811
    make(live)
    url = desk.site.page(FORM, "/p")
    at = _places(desk, url)
    combo = [("key_combo", {"keys": ["ctrl", key]}) for key in "ac"]
    does(
        ("open_url", {"url": url}),
        ("fill", {**at["Plain"], "text": H}),
        ("click", at["Plain"]),
        *combo,
        ("wait", {"ms": 1}),
    )
    run = ended(live, "x", machine_id=desk.id, agent="playbook", human_in_the_loop=False)
    assert error(run) == "The page shows a secret: nothing is copied or dragged from it."
    nowhere(live, run)


# --- what is left on the machine


@pytest.mark.browser
def test_a_later_run_on_the_same_machine_reads_it_no_more_than_the_first(desk: Desk, live: Api, does: Any) -> None:  # noqa: F811
    make(live)
    url = desk.site.page(FORM, "/p")
    at = _places(desk, url)
    does(("open_url", {"url": url}), ("fill", {**at["Plain"], "text": H}))
    task = {"machine_id": desk.id, "agent": "playbook", "human_in_the_loop": False}
    first = ended(live, "x", **task)
    assert f"You typed {VALUE}" in _text_of(desk)  # the page shows it still
    live.put("/secrets/shop%20password", {"value": "another"})
    kept = desk.site.page(f"<p>You typed {VALUE}</p>", "/kept")  # by the site, from one visit to the next
    does(("open_url", {"url": kept}), ("wait", {"ms": 1}))
    second = ended(live, "x", **task)
    assert "You typed [redacted]" in " ".join(data["text"] for data in data_of(second["id"], "text"))
    for run in (first, second):
        nowhere(live, run)
    assert _masked(second) == 3  # all but the fresh tab


@pytest.mark.parametrize("of_team", [True, False])
def test_a_picture_that_people_take_of_a_terminal_hides_what_was_typed(
    terminal: Terminal,  # noqa: F811
    live: Api,
    does: Any,
    of_team: bool,
) -> None:
    name = "shop password"
    if of_team:
        make(live, machines=[terminal.id])
    else:
        name = "own"
    does(("type_text", {"text": f"echo {{{{secret:{name}}}}}"}))
    run = begin(live, "x", machine_id=terminal.id, agent="playbook", human_in_the_loop=False)
    if not of_team:
        Run.objects.filter(id=run["id"]).update(secrets=run_secrets.seal({"own": VALUE}))
    drive_all()
    assert VALUE in with_values_of(terminal)
    answer = live.get(f"/machines/{terminal.id}/screenshot").json()
    assert _looks_like(terminal, base64.b64decode(answer["image_b64"]))
    done = live.post(f"/machines/{terminal.id}/actions", {"command": "screenshot", "parameters": {}}).json()
    assert _looks_like(terminal, base64.b64decode(done["screenshot"]))
    nowhere(live, run)


def test_what_was_typed_on_a_machine_is_kept_once_and_goes_with_it(terminal: Terminal, live: Api, does: Any) -> None:  # noqa: F811
    make(live, machines=[terminal.id])
    does(*[("type_text", {"text": H})] * 2)
    ended(live, "x", machine_id=terminal.id, agent="playbook", human_in_the_loop=False)
    assert typed_secrets.texts_of(terminal.id) == [VALUE]
    assert live.delete(f"/machines/{terminal.id}").status_code == 200
    for row in [row for row in OrmQ.objects.order_by("id") if row.func().startswith("machines.")]:
        import_string(row.func())(*row.args())
    assert Machine.objects.get(id=terminal.id).status == "terminated"
    assert typed_secrets.texts_of(terminal.id) == []
