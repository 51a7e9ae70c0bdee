"""Runs at a real browser, at the door: what is typed, chosen and answered is what the sentence says, or the run says so."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils.module_loading import import_string
from django_q.models import OrmQ

from machines.drivers.base import Session
from machines.drivers.registry import driver_for
from machines.models import Machine
from machines.processes import lifecycle
from machines.processes.sessions import with_session
from runs.agents import registry
from runs.agents.playbook import PlaybookAgent
from runs.agents.playbook.scene import Patience
from tests.cast import Api
from tests.drivers.conftest import Site, site  # noqa: F401
from tests.runs.driving import data_of, ended

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(bool(driver_for("browser").missing()), reason="no browser on this computer"),
]


class Desk:
    """A real browser machine of a team, and the site that it may visit."""

    def __init__(self, api: Api, machine_id: str, site: Site) -> None:  # noqa: F811
        self.api, self.id, self.site = api, machine_id, site

    def run(self, html: str, task: str, **fields: Any) -> dict[str, Any]:
        """Serve the page and play the task; P in it is the page's address."""
        task = re.sub(r"\bP\b", self.site.page(html, "/p"), task)
        return ended(self.api, task, machine_id=self.id, agent="playbook", **{"human_in_the_loop": False, **fields})

    def held(self) -> dict[str, str]:
        """The values of the page's fields by their names, as its accessibility tree tells them."""

        async def look(session: Session) -> dict[str, str]:
            shown = await session.elements()
            return {one.name: one.value or "" for one in shown if one.role != "text" and one.name}

        return with_session(Machine.objects.get(id=self.id), look, 20)

    def title(self) -> str:
        async def look(session: Session) -> str:
            return (await session.state()).title

        return with_session(Machine.objects.get(id=self.id), look, 20)


@pytest.fixture
def desk(
    live: Api,
    site: Site,  # noqa: F811
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    settings.MACHINES_DIR = tmp_path / "machines"
    monkeypatch.setenv("MACHINE_ALLOWED_HOSTS", f"{site.host},localhost:{site.server.server_port}")
    monkeypatch.setitem(registry._AGENTS, "playbook", PlaybookAgent(Patience(poll=0.05, target=1.5, command=60)))
    made = live.post("/machines", {"display_name": "B", "kind": "browser", "screen_width": 1280, "screen_height": 720})
    while row := next((row for row in OrmQ.objects.order_by("id") if row.func().startswith("machines.")), None):
        row.delete()
        import_string(row.func())(*row.args())
    yield Desk(live, made.json()["id"], site)
    lifecycle.stop_all_processes()


def succeeded(run: dict[str, Any]) -> None:
    assert run["status"] == "succeeded", (run["error"], run["result"])


def message(run: dict[str, Any]) -> str:
    assert run["status"] == "failed", run
    return str(run["error"]["message"])


def notes(run: dict[str, Any]) -> list[str]:
    return [data["note"] for data in data_of(run["id"], "tool_result") if "note" in data]


SET = [
    ("date", "1990-04-12", "1990-04-12"),
    ("time", "14:30", "14:30"),
    ("datetime-local", "2026-11-28 10:00", "2026-11-28T10:00"),
    ("month", "November 2026", "2026-11"),
    ("week", "2026-W48", "2026-W48"),
    ("range", "40", "40"),
    ("color", "#ff0000", "#ff0000"),
]


def test_B01_each_kind_of_input_is_a_field(desk: Desk) -> None:
    html = "".join(
        f"<p><label for=f{n}>{kind} one</label><input type={kind} id=f{n}>" for n, (kind, _, _) in enumerate(SET)
    )
    fills = ", ".join(f'fill "{kind} one" with "{text}"' for kind, text, _ in SET)
    succeeded(desk.run(html, f"open P, {fills}"))
    held = desk.held()
    assert {kind: held[f"{kind} one"] for kind, _, _ in SET} == {kind: value for kind, _, value in SET}


def test_B01_a_field_and_its_label_are_one_thing_and_typing_into_a_date_sets_it(desk: Desk) -> None:
    html = "<label for=d>Birthday</label><input type=date id=d>"
    succeeded(desk.run(html, 'open P, click "Birthday", type "1990-04-12"'))
    assert desk.held()["Birthday"] == "1990-04-12"
    run = desk.run(html, 'open P, type "soon" into "Birthday"')
    assert '"soon" is not read as a date for sure' in message(run)


def test_a_value_that_the_page_drops_afterwards_has_not_passed(desk: Desk) -> None:
    html = """<label>Name <input onblur="value = ''"></label><label>City <input></label>"""
    run = desk.run(html, 'open P, fill "Name" with "Ada", fill "City" with "Graz"', cua_version="v4")
    assert message(run) == 'No longer true: the field "Name" holds "Ada".'


@pytest.mark.parametrize("style", ["opacity:0", "position:absolute;left:-9999px"])
def test_a_check_of_a_field_or_box_is_about_what_a_person_can_see(desk: Desk, style: str) -> None:
    hidden = (
        f"<div style={style}><label>Mail <input value=a@b></label><label><input type=checkbox checked>All</label></div>"
    )
    for check in ('the "Mail" field contains "@"', '"All" is checked'):
        assert message(desk.run(hidden, f"open P, check that {check}")).startswith("Check failed: ")
    task = 'open P, fill "Mail" with "c@d", check that the "Mail" field contains "c@d"'
    succeeded(desk.run(f"{hidden}<label>Mail <input></label>", task))


IBAN = """<label>IBAN <input oninput="value = value.replace(/\\s/g,'').toUpperCase().replace(/(.{4})(?=.)/g,'$1 ')"></label>
<label>Code <input maxlength=3></label>"""


def test_B02_what_the_page_put_separators_into_is_done_and_said(desk: Desk) -> None:
    run = desk.run(IBAN, 'open P, fill "IBAN" with "de89370400440532013000"')
    succeeded(run)
    assert desk.held()["IBAN"] == "DE89 3704 0044 0532 0130 00"
    assert notes(run) == ['The field shows "DE89 3704 0044 0532 0130 00".']
    assert any("DE89 3704" in data["text"] for data in data_of(run["id"], "text"))


def test_B02_another_value_is_a_failure_that_tells_both(desk: Desk) -> None:
    run = desk.run(IBAN, 'open P, fill "Code" with "4829"')
    assert 'The field shows "482" and not "4829".' in message(run)


COUNTRY = """<label id=l>Country</label><div role=combobox aria-labelledby=l aria-controls=lb tabindex=0 id=c>Select…</div>
<ul role=listbox id=lb hidden><li role=option>Austria<li role=option>Belgium</ul><script>
c.onclick = () => { lb.hidden = false; }; lb.onclick = (e) => { c.textContent = e.target.textContent; lb.hidden = true; };
</script>"""


def test_B06_an_option_of_a_list_that_the_page_built_is_chosen(desk: Desk) -> None:
    succeeded(desk.run(COUNTRY, 'open P, select "Austria" in "Country"'))
    assert desk.held()["Country"] == "Austria"
    assert "It has: Austria, Belgium." in message(desk.run(COUNTRY, 'open P, select "Atlantis" in "Country"'))


FILTER = """<label>Search products <input id=s></label><ul id=u><li>Red chair<li>Lamp</ul><label>Tags <input id=t></label>
<p id=out></p><script>s.onkeyup = () => { for (const one of u.children)
  one.style.display = one.textContent.toLowerCase().includes(s.value) ? '' : 'none'; };
t.onkeydown = (e) => { if (e.key === ',') { e.preventDefault(); out.textContent += `[${t.value}]`; t.value = ''; } };</script>"""


def test_B07_keys_are_typed(desk: Desk) -> None:
    task = 'open P, fill "Search products" with "lamp", check that "Red chair" is not visible, check that "Lamp" is visible'
    succeeded(desk.run(FILTER, task))
    succeeded(desk.run(FILTER, 'open P, click "Tags", type "a,b,", check that "[a][b]" is visible'))


def test_B07_text_that_nothing_takes_fails_the_run(desk: Desk) -> None:
    assert "Nothing that takes text has the focus" in message(desk.run(FILTER, 'open P, type "lamp"'))


def test_B09_fields_in_frames_of_other_sites_and_in_closed_roots(desk: Desk) -> None:
    card = desk.site.page("<label>Card number <input></label>", "/card").replace("127.0.0.1", "localhost")
    html = f"""<iframe src="{card}"></iframe><div id=host></div><script>
    host.attachShadow({{mode:'closed'}}).innerHTML='<label>Coupon <input></label>'</script>"""
    succeeded(desk.run(html, 'open P, fill "Card number" with "4242", fill "Coupon" with "X1"'))
    held = desk.held()
    assert (held["Card number"], held["Coupon"]) == ("4242", "X1")


def test_B11_what_is_editable_is_a_field(desk: Desk) -> None:
    html = """<div contenteditable aria-label="Remarks">old</div>
    <div contenteditable=plaintext-only role=textbox aria-label="Message"></div>
    <div contenteditable role=textbox aria-label="Article"><p>a</p></div>"""
    task = 'open P, fill "Remarks" with "new", fill "Message" with "hello", fill "Article" with "one\ntwo"'
    succeeded(desk.run(html, f'{task}, check that "one" is visible, check that "two" is visible'))
    held = desk.held()
    assert (held["Remarks"], held["Message"]) == ("new", "hello")


RENAME = "<title>?</title><button onclick=\"document.title = prompt('New name?','Old')\">Rename</button>"


def test_B13_what_is_typed_into_a_prompt_replaces_its_default(desk: Desk) -> None:
    succeeded(desk.run(RENAME, 'open P, click "Rename", fill "New name?" with "New", click "OK"'))
    assert desk.title() == "New"
    succeeded(desk.run(RENAME, 'open P, click "Rename", type "x", press Ctrl+A, type "Newer", press Enter'))
    assert desk.title() == "Newer"


def test_B13_a_dialog_that_is_open_when_its_page_is_left_is_closed_and_named(desk: Desk) -> None:
    run = desk.run(RENAME, 'open P, click "Rename", open P, click "Rename", press Escape')
    succeeded(run)
    assert notes(run) == ['A dialog was open and was dismissed first: "New name?".']


def test_B13_a_dialog_that_a_run_left_open_is_gone_when_the_next_begins(desk: Desk) -> None:
    succeeded(desk.run(RENAME, 'open P, click "Rename"'))
    run = desk.run(RENAME, 'open P, click "Rename", fill "New name?" with "Answered", click "OK"')
    succeeded(run)
    assert notes(run) == []
    assert desk.title() == "Answered"


def test_B13_a_dialog_in_the_middle_of_a_text_is_no_success(desk: Desk) -> None:
    html = "<label>Name <input oninput=\"if (value.length === 3) alert('three')\"></label>"
    run = desk.run(html, 'open P, fill "Name" with "abcdefghij"')
    assert 'A dialog opened: "three". 3 of 10 characters were typed.' in message(run)


def test_B15_a_step_says_that_a_file_was_wanted(desk: Desk) -> None:
    html = '<input type=file id=f hidden><button onclick="f.click()">Upload</button>'
    run = desk.run(html, 'open P, click "Upload"')
    succeeded(run)
    (note,) = notes(run)
    assert note.startswith("The page asked for a file.")
    assert any("The page asked for a file." in data["text"] for data in data_of(run["id"], "text"))
