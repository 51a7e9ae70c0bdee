"""Everything that takes a value takes it: each kind of field, in the page, in frames of either kind and in closed roots."""

import pytest

from machines.drivers.base import Action, ActResult, Element
from machines.drivers.browser.fields import field_values
from tests.drivers.conftest import Machine, Site

pytestmark = pytest.mark.browser

FIELDS = """<label>Text <input></label> <label>Search <input type=search></label> <label>Email <input type=email></label>
<label>Number <input type=number step=any></label> <label>Password <input type=password></label>
<label>Area <textarea rows=2></textarea></label>
<label>Day <input type=date></label> <label>Time <input type=time></label> <label>Month <input type=month></label>
<label>Week <input type=week></label> <label>Moment <input type=datetime-local></label>
<label>Range <input type=range min=0 max=100 step=5></label> <label>Colour <input type=color></label>
<label>Early <input type=date max=2000-01-01></label>
<div contenteditable aria-label=Remarks>old</div> <div contenteditable=plaintext-only role=textbox aria-label=Message>old</div>
<div contenteditable role=textbox aria-label=Article><p>a</p></div> <h3 contenteditable aria-label=Heading>old</h3>
<label>Plain list <select><option>Red<option>Light green</select></label>
<label>Many <select multiple><option>One<option>Two</select></label>
<label>Typed <input list=known></label><datalist id=known><option value=Austria></datalist>
<span id=l>Country</span><div role=combobox aria-labelledby=l aria-controls=lb aria-expanded=false tabindex=0 id=cb>Select…</div>
<ul role=listbox id=lb hidden><li role=option>Austria<li role=option>Belgium</ul>
<button id=pop aria-haspopup=listbox aria-label="Size" aria-controls=sizes>Any</button>
<div role=listbox id=sizes hidden><div role=option>Small</div><div role=option>Large</div></div>
<ul role=listbox aria-label=Shown id=shown><li role=option aria-selected=false>North<li role=option aria-selected=false>South</ul>
<label>City <input role=combobox aria-controls=lb2 aria-expanded=false id=cin></label><ul role=listbox id=lb2 hidden></ul>
<div role=slider aria-label=Volume aria-valuemin=0 aria-valuemax=20 aria-valuenow=4 tabindex=0 id=vol
 style="width:90px;height:20px"></div>
<label>Locked <input readonly value=x></label> <label>Off <input disabled value=x></label>
<label>Form <fieldset disabled><input aria-label=Inside></fieldset></label>
<label>Steals <input id=steals></label> <label>IBAN <input id=iban></label>
<label>Papers <input type=file id=papers></label> <button type=button id=plain>Plain</button>"""
SCRIPT = """const at = (id) => root.getElementById(id);
at('cb').onclick = () => { at('lb').hidden = false; };
at('lb').onclick = (e) => { at('cb').textContent = e.target.textContent; at('lb').hidden = true; };
at('pop').onclick = () => { at('sizes').hidden = false; };
at('sizes').onclick = (e) => { at('pop').textContent = e.target.textContent; at('sizes').hidden = true; };
at('shown').onclick = (e) => { e.target.ariaSelected = 'true'; };
at('cin').oninput = () => setTimeout(() => { const list = at('lb2'); list.textContent = '';
  for (const name of ['Paris', 'Prague', 'Porto']) if (name.toLowerCase().startsWith(at('cin').value.toLowerCase()))
    list.append(Object.assign(document.createElement('li'), { role: 'option', textContent: name }));
  list.hidden = false; }, 120);
at('lb2').onmousedown = (e) => { at('cin').value = e.target.textContent; at('lb2').hidden = true; };
at('vol').onkeydown = (e) => { const by = { ArrowUp: 2, ArrowDown: -2 }[e.key] || 0;
  at('vol').ariaValueNow = Math.min(20, Math.max(0, Number(at('vol').ariaValueNow) + by)); };
at('steals').onfocus = () => at('plain').focus();
at('iban').oninput = () => {
  at('iban').value = at('iban').value.replace(/\\s/g, '').toUpperCase().replace(/(.{4})(?=.)/g, '$1 '); };"""
INNER = f"<body>{FIELDS}<script>const root = document; {SCRIPT}</script>"
CLOSED = f"""<div id=host></div><template id=form>{FIELDS}</template><script>
const root = host.attachShadow({{ mode: 'closed' }}); root.append(form.content.cloneNode(true)); {SCRIPT}</script>"""
FRAME = "<h1>Outside</h1><iframe src='{url}' width=1200 height=640 style='border:7px solid;margin:11px'></iframe>"

# name, what is put in, what the field holds afterwards, and what is said when the page made something else of it
FILLS = [
    ("Text", "é ✓ 漢", "é ✓ 漢", None),
    ("Search", "lamp", "lamp", None),
    ("Email", "a@b.test", "a@b.test", None),
    ("Number", "12.5", "12.5", None),
    ("Area", "two\nlines", "two\nlines", None),
    ("Day", "1990-04-12", "1990-04-12", None),
    ("Day", "12 April 1990", "1990-04-12", "1990-04-12"),
    ("Day", "", "", None),
    ("Time", "14:30", "14:30", None),
    ("Time", "2:30 pm", "14:30", "14:30"),
    ("Month", "2026-11", "2026-11", None),
    ("Week", "2026-W48", "2026-W48", None),
    ("Moment", "2026-11-28T10:00", "2026-11-28T10:00", None),
    ("Early", "2026-11-28", "2026-11-28", "says of this value"),
    ("Range", "40", "40", None),
    ("Range", "42", "40", '"40"'),
    ("Colour", "#ff0000", "#ff0000", None),
    ("Colour", "Teal", "#008080", "#008080"),
    ("Remarks", "new", "new", None),
    ("Message", "new", "new", None),
    ("Article", "one\ntwo", None, None),
    ("Heading", "new", "new", None),
    ("Text", "", "", None),
    ("Plain list", "light green", "Light green", None),
    ("Typed", "Austria", "Austria", None),
    ("Country", "Austria", "Austria", None),
    ("City", "Prague", "Prague", None),
    ("City", "Elsewhere", "Elsewhere", None),
    ("Volume", "10", "10", None),
    ("Volume", "5.5", "6", '"6"'),
    ("IBAN", "de89370400440532013000", "DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
]
CHOICES = [
    ("Plain list", "Light green"),
    ("Many", "Two"),
    ("Country", "Belgium"),
    ("Size", "Large"),
    ("Shown", "South"),
    ("City", "Prague"),
]
REFUSED = [
    ("fill", "Locked", "y", "locked"),
    ("fill", "Off", "y", "locked"),
    ("fill", "Inside", "y", "locked"),
    ("fill", "Day", "04/05/1990", "not read as a date for sure"),
    ("fill", "Day", "soon", "not read as a date for sure"),
    ("fill", "Day", "30 February 1990", "not read as a date for sure"),
    ("fill", "Colour", "bluish", "no colour"),
    ("fill", "Range", "400", 'shows "100" and not "400"'),
    ("fill", "Range", "much", "no number"),
    ("fill", "Number", "abc", 'shows "" and not "abc"'),
    ("fill", "Steals", "secret", "does not take the focus, so nothing was typed"),
    ("fill", "Plain", "x", "no field to type into"),
    ("fill", "Papers", "x", "It takes a file"),
    ("select_option", "Country", "Atlantis", 'no option "Atlantis". It has: Austria, Belgium.'),
    ("select_option", "Plain list", "Blue", "It has: Red, Light green."),
    ("select_option", "Text", "Blue", "no list of options"),
]


def address(site: Site, place: str) -> str:
    """The page that shows all fields in this place."""
    if place == "closed root":
        return site.page(CLOSED, "/closed")
    inner = site.page(INNER, "/fields")
    if place == "page":
        return inner
    other = inner.replace("127.0.0.1", "localhost") if place == "other site" else inner
    return site.page(FRAME.format(url=other), "/framed")


async def act(machine: Machine, name: str, element: Element, *, by_ref: bool, **params: object) -> ActResult:
    (x, y), ref = element.center, element.ref if by_ref else None
    if not by_ref:  # as people and models point: at what is on the screen
        reach = await machine.session.reach(str(element.ref))
        assert reach is not None
        assert reach.point, f"{element.name}: {reach.problem}"
        x, y = reach.point
    return await machine.session.act(Action(name, {"x": x, "y": y, **params}, 20_000, ref=ref))


async def field(machine: Machine, name: str) -> Element:
    roles = ("text", "label", "LabelText", "listitem", "option", "group")
    fitting = [one for one in await machine.session.elements() if one.name == name and one.role not in roles]
    assert fitting, f"nothing that is a field is named {name}"
    return fitting[0]


async def filled(machine: Machine, site: Site, place: str, *, by_ref: bool) -> list[str]:
    """Fill each field; what was wrong."""
    opened = await machine.do("open_url", url=address(site, place))
    assert opened.success, opened.error
    wrong = []
    for name, text, value, said in FILLS:
        result = await act(machine, "fill", await field(machine, name), by_ref=by_ref, text=text)
        held = (await field(machine, name)).value or ""
        if not result.success or (value is not None and held != value):
            wrong.append(f"{name} <- {text!r}: {result.error} {held!r}")
        if (said is None) != ("note" not in result.data) or (said or "") not in result.data.get("note", ""):
            wrong.append(f"{name} <- {text!r} said {result.data.get('note')!r}")
    for name, option in CHOICES:
        result = await act(machine, "select_option", await field(machine, name), by_ref=by_ref, option=option)
        if not result.success or result.data["selected"] != option:
            wrong.append(f"{name} chose {option!r}: {result.error}")
    for command, name, text, reason in REFUSED:
        params = {"text": text} if command == "fill" else {"option": text}
        result = await act(machine, command, await field(machine, name), by_ref=by_ref, **params)
        if result.success or reason not in str(result.error):
            wrong.append(f"{name} <- {text!r} was not refused as it should: {result}")
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "by_ref"),
    [("page", True), ("frame", True), ("other site", True), ("closed root", True), ("other site", False)],
)
async def test_B01_B06_B09_B11_each_field_takes_its_value(
    browser: Machine, site: Site, place: str, by_ref: bool
) -> None:
    assert await filled(browser, site, place, by_ref=by_ref) == []


@pytest.mark.slow
@pytest.mark.parametrize("by_ref", [True, False], ids=["by ref", "by point"])
async def test_B09_each_field_takes_its_value_in_a_process_of_its_own(
    isolated: Machine, site: Site, by_ref: bool
) -> None:
    assert await filled(isolated, site, "other site", by_ref=by_ref) == []


@pytest.mark.parametrize("how", ["<body contenteditable><p>old", "<script>document.designMode = 'on'</script><p>old"])
async def test_B11_a_whole_document_that_is_edited_is_a_field_by_the_name_of_its_frame(
    browser: Machine, site: Site, how: str
) -> None:
    url = site.page(how, "/editor")
    page = f"<label>Name <input></label><iframe title=Letter src='{url}' width=500 height=200></iframe>"
    await browser.do("open_url", url=site.page(page, "/letter"))
    result = await act(browser, "fill", await field(browser, "Letter"), by_ref=True, text="new\nline")
    assert result.success, result.error
    assert (await browser.session.text()).splitlines()[-2:] == ["new", "line"]
    await act(browser, "fill", await field(browser, "Name"), by_ref=True, text="Ada")
    assert (await field(browser, "Name")).value == "Ada"


async def test_a_password_is_never_quoted(browser: Machine, site: Site) -> None:
    page = "<label>Password <input type=password maxlength=3></label>"
    await browser.do("open_url", url=site.page(page, "/password"))
    result = await act(browser, "fill", await field(browser, "Password"), by_ref=True, text="sesame")
    assert result.error == "The password field holds something else than what was typed."


async def test_what_a_page_made_of_a_secret_is_not_told(browser: Machine, site: Site) -> None:
    await browser.do("open_url", url=address(site, "page"))
    for name, text, fits in [("IBAN", "de89370400440532013000", True), ("Number", "12a4", False)]:
        element = await field(browser, name)
        (x, y), ref = element.center, element.ref
        result = await browser.session.act(Action("fill", {"x": x, "y": y, "text": text}, ref=ref, secret=True))
        assert result.success is fits
        assert not {"shows", "note"} & set(result.data)
        assert result.error == (None if fits else 'The field shows "…".')


async def test_a_field_that_is_gone_is_a_stale_one_and_nothing_is_typed(browser: Machine, site: Site) -> None:
    await browser.do("open_url", url=address(site, "page"))
    before = await field(browser, "Text")
    await browser.do("reload")
    result = await act(browser, "fill", before, by_ref=True, text="x")
    assert (result.success, result.data) == (False, {"stale": True})
    assert not (await field(browser, "Text")).value


async def test_a_whole_date_is_set_by_typing_and_nonsense_is_refused(browser: Machine, site: Site) -> None:
    await browser.do("open_url", url=address(site, "page"))
    await browser.do("click", **await browser.at("Day", "Date"))
    assert (await browser.do("type_text", text="1990-04-12")).success
    assert (await field(browser, "Day")).value == "1990-04-12"
    assert "does not take this text" in str((await browser.do("type_text", text="tomorrow")).error)


async def test_a_script_of_the_page_cannot_lie_about_what_a_field_holds(browser: Machine, site: Site) -> None:
    trick = """<label>Word <input id=i maxlength=2></label><script>
    Object.defineProperty(i, 'value', { get: () => 'lamp', set() {} });
    HTMLElement.prototype.focus = HTMLInputElement.prototype.select = () => {}; Array.prototype.find = () => null;</script>"""
    await browser.do("open_url", url=site.page(trick, "/trick"))
    result = await act(browser, "fill", await field(browser, "Word"), by_ref=True, text="lamp")
    assert result.error == 'The field shows "la" and not "lamp".'


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("date", "1990-4-12", "1990-04-12"),
        ("date", "12.4.1990", "1990-04-12"),
        ("date", "April 12th, 1990", "1990-04-12"),
        ("date", "Thursday, 12 Apr 1990", "1990-04-12"),
        ("date", "13/05/1990", "1990-05-13"),
        ("date", "05/13/1990", "1990-05-13"),
        ("date", "05/05/1990", "1990-05-05"),
        ("date", "05/06/1990", None),
        ("date", "31.4.1990", None),
        ("time", "2 pm", "14:00"),
        ("time", "12:05 am", "00:05"),
        ("time", "14:30:15", "14:30:15"),
        ("time", "25:00", None),
        ("time", "14", None),
        ("month", "November 2026", "2026-11"),
        ("month", "11/2026", "2026-11"),
        ("week", "week 48 of 2026", "2026-W48"),
        ("week", "2026-W60", None),
        ("datetime-local", "28 November 2026 at 2:30 pm", "2026-11-28T14:30"),
        ("datetime-local", "2026-11-28 14:30", "2026-11-28T14:30"),
        ("datetime-local", "2026-11-28", None),
    ],
)
def test_dates_are_read_as_they_are_written_or_not_at_all(kind: str, text: str, value: str | None) -> None:
    assert field_values.as_held(kind, text) == value


@pytest.mark.parametrize(
    ("wanted", "shown", "same"),
    [
        ("de89370400440532013000", "DE89 3704 0044 0532 0130 00", True),
        ("4155551234", "(415) 555-1234", True),
        ("1234567", "1,234,567.00", True),
        ("1234567", "1.234.567,00", True),
        ("1234", "$1,234", True),
        ("lamp", "Lamp", True),
        ("1.5", "15", False),
        ("1,5", "15", False),
        ("1234", "12.34", False),
        ("-5", "5", False),
        ("007", "7", False),
        ("abc", "ab", False),
        ("-", "", False),
    ],
)
def test_separators_and_case_do_not_make_another_value(wanted: str, shown: str, same: bool) -> None:
    assert field_values.same(wanted, shown) is same
    assert field_values.means(wanted, shown) is same


def test_a_date_that_was_set_means_what_was_written() -> None:
    assert field_values.means("12 April 1990", "1990-04-12")
    assert field_values.means("2:30 pm", "14:30")
    assert field_values.means("one\ntwo", "one\n\ntwo")
    assert not field_values.means("12 April 1990", "1990-04-13")
    assert not field_values.means("soon", "")
