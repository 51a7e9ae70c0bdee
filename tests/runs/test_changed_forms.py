"""A press that people approved sends what they were shown, or it is not made."""

from typing import Any

import pytest

from approvals.models import Approval
from machines.drivers.base import Action, Session
from machines.drivers.registry import driver_for
from machines.models import Machine
from machines.processes.sessions import with_session
from runs.agents import registry
from tests.cast import Cast
from tests.drivers.conftest import site  # noqa: F401
from tests.runs.at_terminal import Bare, approve
from tests.runs.driving import data_of, request_of, waiting
from tests.runs.invariants import check_run
from tests.runs.test_field_runs import Desk, desk  # noqa: F401
from tests.takeover.control import drive_with

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(bool(driver_for("browser").missing()), reason="no browser on this computer"),
]
ASKED: dict[str, Any] = {"human_in_the_loop": True, "permission_mode": "autonomous"}
FORM = """<form action=/send method=post onsubmit="event.preventDefault(); document.title = 'sent ' + amount.value">
  <label>Amount <input id=amount name=amount value=10></label>
  <label>To <select id=to name=to><option>Ana</option><option>Eve</option></select></label>
  <label><input type=checkbox id=fast name=fast> Fast</label>
  <label>Password <input type=password id=word name=word value=hunter2></label>
  <label>Card number <input id=card name=card value=4111222233334444></label>
  <label>Note <textarea id=note name=note>a</textarea></label>
  <input type=hidden id=account name=account value=DE1><input type=hidden id=csrf name=csrf_token value=1>
  <button>Send</button></form><label>Search <input id=search></label>"""
SENT = "() => document.title"


class Page:
    """A page in the machine's browser, which the test may change behind everybody's back."""

    def __init__(self, desk: Desk) -> None:  # noqa: F811
        self.desk = desk

    def show(self, html: str = FORM) -> None:
        self.address = address = self.desk.site.page(f"<body>{html}", "/p")
        answer = self.desk.api.post(
            f"/machines/{self.desk.id}/actions", {"command": "open_url", "parameters": {"url": address}}
        )
        assert answer.json()["success"], answer.content

    def _with(self, work: Any) -> Any:
        return with_session(Machine.objects.get(id=self.desk.id), work, 20)

    def script(self, code: str) -> Any:
        async def run(session: Session) -> Any:
            await session.look()  # type: ignore[attr-defined]
            answer = await session.send("Runtime.evaluate", {"expression": code, "returnByValue": True})  # type: ignore[attr-defined]
            return answer["result"].get("value")

        return self._with(run)

    def middle(self, role: str, name: str) -> dict[str, int]:
        async def look(session: Session) -> dict[str, int]:
            x, y = next(e.center for e in await session.elements() if (e.role, e.name) == (role, name))
            return {"x": x, "y": y}

        return self._with(look)


@pytest.fixture
def page(desk: Desk) -> Page:  # noqa: F811
    return Page(desk)


def asks(page: Page, monkeypatch: pytest.MonkeyPatch, *actions: Action) -> dict[str, Any]:
    """A run begins on a fresh tab, so it opens the page itself; only what follows is asked for."""
    for tool in ("click", "key_press", "type_text"):
        page.desk.api.post("/permissions", {"tool": tool, "effect": "ask"})
    opens = Action("open_url", {"url": page.address})
    monkeypatch.setitem(registry._AGENTS, "scripted", Bare(opens, *actions))
    return waiting(page.desk.api, "x", machine_id=page.desk.id, agent="scripted", **ASKED)


def press(page: Page, role: str = "button", name: str = "Send") -> Action:
    return Action("click", {**page.middle(role, name), "button": "left", "count": 1})


def is_void(page: Page, run: dict[str, Any]) -> dict[str, Any]:
    old = approve(page.desk.api, run)
    assert (old.status, old.void_reason) == ("void", "action_changed")
    assert [call["tool"] for call in data_of(run["id"], "tool_call")] == ["open_url"]
    assert not page.script("document.title").startswith("sent")
    return request_of(page.desk.api, run)


def test_T_182_a_form_that_changes_after_it_was_asked_voids_the_approval(
    page: Page, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.show()
    run = asks(page, monkeypatch, press(page))
    changes = {
        "amount.value = '99'": ("Amount", "10", "99"),
        "to.value = 'Eve'": ("To", "Ana", "Eve"),
        "fast.checked = true": ("Fast", "not chosen", "chosen"),
        "note.value = 'b'": ("Note", "a", "b"),
        "account.value = 'DE2'": ("account", "DE1", "DE2"),
        "word.value = 'swordfish'": ("Password", "•••", "•••"),
        "card.value = '5'": ("Card number", "•••", "•••"),
        "document.forms[0].action = '/elsewhere'": ("form", None, None),
        "document.forms[0].method = 'get'": ("form", None, None),
        "account.remove()": ("account", "DE2", "not there any more"),
    }  # fmt: skip
    for code, (name, before, after) in changes.items():
        page.script(code)
        again = is_void(page, run)
        (change,) = again["evidence"]["changes"]
        assert change["name"] == name
        assert before is None or (change["before"], change["after"]) == (before, after)
        assert f"“{name}”" in again["message"]
    kept = str(list(Approval.objects.filter(run_id=run["id"]).values("evidence", "context", "message", "title")))
    html = cast.browser("ana").get(f"/approvals/{again['id']}").content.decode()
    for secret in ("hunter2", "swordfish", "4111222233334444"):
        assert secret not in kept
        assert secret not in html
    assert "not there any more" in html


def test_T_182_a_form_that_is_as_it_was_is_sent(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.show()
    run = asks(page, monkeypatch, press(page))
    request = request_of(page.desk.api, run)
    shown = {item["name"]: item["says"] for item in request["evidence"]["contents"]}
    assert (shown["Amount"], shown["Password"], shown["account"]) == ("10", "•••", "DE1")
    assert "csrf_token" not in shown
    assert request["action"]["class"] == "irreversible"
    page.script("search.value = 'elsewhere'; csrf.value = '2'")
    approve(page.desk.api, run)
    assert page.script("document.title") == "sent 10"
    check_run(run["id"])


@pytest.mark.parametrize("key", [
    pytest.param(Action("key_press", {"key": "enter"}), id="enter"),
    pytest.param(Action("type_text", {"text": "\n"}), id="line end", marks=pytest.mark.slow),
    pytest.param(Action("key_press", {"key": "space"}), id="space on the button", marks=pytest.mark.slow),
])  # fmt: skip
def test_T_182_a_key_that_sends_the_form_is_bound_as_well(
    page: Page, monkeypatch: pytest.MonkeyPatch, key: Action
) -> None:
    at = "<button" if key.params.get("key") == "space" else "<input id=amount"
    page.show(FORM.replace(at, f"{at} autofocus"))  # a run begins on a fresh tab, where nothing has the focus else
    run = asks(page, monkeypatch, key)
    request = request_of(page.desk.api, run)
    assert (request["action"]["class"], request["action"]["risk"]) == ("irreversible", "access")
    page.script("note.value = 'b'")
    assert is_void(page, run)["evidence"]["changes"][0]["name"] == "Note"
    page.script("search.focus()")
    old = approve(page.desk.api, run)
    assert old.void_reason == "action_changed"
    assert not page.script("document.title").startswith("sent")


def test_T_182_what_changes_after_the_last_look_of_the_worker_is_not_sent(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.show()
    run = asks(page, monkeypatch, press(page))
    approval = request_of(page.desk.api, run)
    page.desk.api.post(f"/approvals/{approval['id']}/decide", {"verdict": "approve"})
    drive_with("write_intent", lambda: page.script("amount.value = '99'"))
    result = data_of(run["id"], "tool_result")[-1]
    assert (result["success"], "“Amount”" in result["error"]) == (False, True)
    assert not page.script("document.title").startswith("sent")


@pytest.mark.slow
def test_T_182_without_a_form_the_part_around_the_button_counts(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.show("<div role=dialog aria-label=Mail><div contenteditable aria-label=Text>hello</div>"
              "<button onclick=\"document.title = 'sent'\">Send</button></div><input aria-label=Other>")  # fmt: skip
    run = asks(page, monkeypatch, press(page))
    page.script(
        "document.querySelector('input').value = 'x'; document.querySelector('[contenteditable]').innerText = 'bye'"
    )
    (change,) = is_void(page, run)["evidence"]["changes"]
    assert (change["name"], change["before"], change["after"]) == ("Text", "hello", "bye")


@pytest.mark.slow
def test_a_link_and_a_field_send_nothing(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.show(FORM + "<a href=/q>Read on</a>")
    for role, name in (("link", "Read on"), ("textbox", "Amount")):
        run = asks(page, monkeypatch, press(page, role, name))
        assert "contents" not in request_of(page.desk.api, run)["evidence"]
        page.desk.api.post(f"/runs/{run['id']}/cancel", {})


def test_an_answer_to_a_dialog_is_judged_by_its_words(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.show("<button onclick=\"document.title = confirm('Delete all files?') ? 'sent' : 'no'\">Go</button>")
    run = asks(page, monkeypatch, press(page, "button", "Go"), Action("key_press", {"key": "enter"}))
    approve(page.desk.api, run)
    action = request_of(page.desk.api, run)["action"]
    assert (action["risk"], action["class"], action["target"]["role"]) == ("destroy", "irreversible", "dialog")
    page.desk.api.post(f"/runs/{run['id']}/cancel", {})
