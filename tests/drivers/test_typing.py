"""Text arrives on a page as if a person had typed it: key by key, and no further than the page lets it."""

import pytest

from machines.drivers import keys
from machines.drivers.browser.input import keyboard
from machines.drivers.browser.input.keyboard import Typing
from tests.drivers.conftest import Machine, Site

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><title></title><body>
<label>Search <input id=search></label><ul id=list><li>Red chair<li>Desk lamp</ul>
<label>IBAN <input id=iban></label> <label>Tags <input id=tags></label><span id=tagged></span>
<fieldset id=codes></fieldset><fieldset id=late></fieldset>
<label>Digits <input id=digits></label> <label>Phone <input id=phone></label>
<label>Log <input id=log></label> <label>Long <textarea id=long></textarea></label>
<label>Notes <textarea id=notes></textarea></label> <label>Chat <textarea id=chat></textarea></label><ol id=sent></ol>
<label>Alerts <input id=alerts></label> <label>Locked <input id=locked readonly value=x></label>
<button id=plain>Plain</button> <canvas id=canvas tabindex=0 aria-label=Board role=application></canvas>
<script>
search.onkeyup = () => { for (const one of list.children)
  one.hidden = !one.textContent.toLowerCase().includes(search.value.toLowerCase()); };
iban.oninput = () => { iban.value = iban.value.replace(/\\s/g, '').toUpperCase().replace(/(.{4})(?=.)/g, '$1 '); };
tags.onkeydown = (e) => { if (e.key !== ',') return;
  e.preventDefault(); tagged.textContent += `[${tags.value}]`; tags.value = ''; };
for (const [row, type] of [[codes, 'input'], [late, 'keyup']]) for (let n = 1; n < 7; n += 1) {
  const box = document.createElement('input');
  box.maxLength = 1; box.ariaLabel = `${row.id} ${n}`; row.append(box);
  box.addEventListener(type, () => { if (box.value && box.nextElementSibling) box.nextElementSibling.focus(); });
}
digits.onbeforeinput = (e) => { if (e.data && /\\D/.test(e.data)) e.preventDefault(); };
phone.onkeypress = (e) => { if (!/\\d/.test(e.key)) e.preventDefault(); };
phone.oninput = () => { const d = phone.value.replace(/\\D/g, '').slice(0, 10);
  phone.value = d.replace(/(\\d{3})(\\d{0,3})(\\d{0,4})/, (m, a, b, c) => `(${a}) ${b}` + (c ? `-${c}` : '')); };
const heard = [];
for (const type of ['keydown', 'keypress', 'beforeinput', 'input', 'keyup']) log.addEventListener(type, (e) => {
  heard.push(e.key ? `${type}:${e.key}/${e.code}/${e.keyCode}${e.shiftKey ? '/shift' : ''}` : `${type}:${e.data}`);
  document.title = heard.join(' '); });
let pressed = 0;
long.onkeydown = () => { pressed += 1; document.title = pressed; };
chat.onkeydown = (e) => { if (e.key !== 'Enter' || e.shiftKey) return;
  e.preventDefault(); sent.append(Object.assign(document.createElement('li'), { textContent: chat.value })); chat.value = ''; };
alerts.oninput = () => { if (alerts.value.length === 3) alert('three'); };
canvas.onkeydown = (e) => { document.title += e.key; };
</script>"""


async def opened(browser: Machine, site: Site) -> None:
    result = await browser.do("open_url", url=site.page(PAGE, "/typing"))
    assert result.success, result.error


async def fill(browser: Machine, name: str, text: str, **more: int) -> str | None:
    """Fill the field of this name; the error, or None."""
    result = await browser.do("fill", **await browser.at(name, "textbox"), text=text, **more)
    return result.error


async def held(browser: Machine, name: str) -> str:
    return (await browser.find(name, "textbox")).value or ""


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("IBAN", "de89370400440532013000", "DE89 3704 0044 0532 0130 00"),
        ("Phone", "415-555-1234", "(415) 555-1234"),
        ("Search", "é漢😀👩‍👩‍👧🇩🇪 ~!@#$%^&*()_+{}|:\"<>?`[]\\;',./", None),
        ("Notes", "two\nlines\tand a tab", None),
        ("Chat", "hello\nthere", None),
    ],
)
async def test_typed_text_is_what_the_page_makes_of_keys(
    browser: Machine, site: Site, name: str, text: str, value: str | None
) -> None:
    await opened(browser, site)
    assert await fill(browser, name, text) is None
    assert await held(browser, name) == (value or text)


async def test_B07_a_filter_on_keyup_hears_the_keys(browser: Machine, site: Site) -> None:
    await opened(browser, site)
    assert await fill(browser, "Search", "lamp") is None
    assert "Red chair" not in await browser.session.text()
    assert "Desk lamp" in await browser.session.text()


async def test_a_tag_ends_on_its_key(browser: Machine, site: Site) -> None:
    await opened(browser, site)
    await browser.do("click", **await browser.at("Tags", "textbox"))
    assert (await browser.do("type_text", text="a,b,")).success
    assert "[a][b]" in await browser.session.text()
    assert await held(browser, "Tags") == ""


@pytest.mark.parametrize("row", ["codes", "late"])
async def test_a_code_spreads_over_its_boxes(browser: Machine, site: Site, row: str) -> None:
    await opened(browser, site)
    assert await fill(browser, f"{row} 1", "482913") is None
    assert [await held(browser, f"{row} {n}") for n in range(1, 7)] == list("482913")


async def test_what_the_page_does_not_take_is_a_failure_that_tells_both(browser: Machine, site: Site) -> None:
    await opened(browser, site)
    assert await fill(browser, "Digits", "12a3") == 'The field shows "123" and not "12a3".'
    assert await held(browser, "Digits") == "123"


async def test_each_key_has_its_name_and_its_place(browser: Machine, site: Site) -> None:
    await opened(browser, site)
    await browser.do("click", **await browser.at("Log", "textbox"))
    assert (await browser.do("type_text", text="a?é")).success
    assert (await browser.session.state()).title == (
        "keydown:a/KeyA/65 keypress:a/KeyA/97 beforeinput:a input:a keyup:a/KeyA/65 "
        "keydown:?/Slash/191/shift keypress:?/Slash/63/shift beforeinput:? input:? keyup:?/Slash/191/shift "
        "beforeinput:é input:é"
    )


async def test_a_long_text_is_put_in_but_for_its_ends(browser: Machine, site: Site) -> None:
    await opened(browser, site)
    text = "0123456789" * 250
    result = await browser.do("fill", **await browser.at("Long", "textbox"), text=text)
    assert result.success, result.error
    assert "Of 2500 characters only the first and the last 20 were typed key by key." in result.data["note"]
    assert await held(browser, "Long") == text
    assert (await browser.session.state()).title == "40"
    short = await browser.do("fill", **await browser.at("Notes", "textbox"), text="short")
    assert "note" not in short.data


async def test_lines_of_a_field_are_not_sent_one_by_one(browser: Machine, site: Site) -> None:
    await opened(browser, site)
    assert await fill(browser, "Chat", "one\ntwo") is None
    assert await held(browser, "Chat") == "one\ntwo"
    await browser.do("key_press", key="enter")
    assert await held(browser, "Chat") == ""
    assert await fill(browser, "Search", "one\ntwo") == "This field takes one line of text only."
    assert await held(browser, "Search") == ""


@pytest.mark.parametrize("command", ["fill", "type_text"])
async def test_a_dialog_in_the_middle_stops_the_typing(browser: Machine, site: Site, command: str) -> None:
    await opened(browser, site)
    at = await browser.at("Alerts", "textbox")
    await browser.do("click", **at)
    result = await browser.do(command, **(at if command == "fill" else {}), text="abcdefghij")
    assert not result.success
    assert result.error == 'A dialog opened: "three". 3 of 10 characters were typed.'
    assert result.data["dialog"] == "three"
    await browser.do("key_press", key="enter")
    assert await held(browser, "Alerts") == "abc"
    again = await browser.do("fill", **at, text="abc")
    assert again.success
    assert "before the field could be read back" in again.data["note"]


async def test_a_text_that_nothing_takes_is_a_failure(browser: Machine, site: Site) -> None:
    await opened(browser, site)
    nothing = "Nothing that takes text has the focus, so nothing was typed."
    assert (await browser.do("type_text", text="x")).error == nothing
    await browser.do("click", **await browser.at("Plain", "button"))
    assert (await browser.do("type_text", text="x")).error == nothing
    await browser.do("click", **await browser.at("Locked", "textbox"))
    assert "locked" in str((await browser.do("type_text", text="x")).error)
    await browser.do("click", **await browser.at("Board", "application"))
    assert (await browser.do("type_text", text="qW")).success
    assert (await browser.session.state()).title == "qW"


async def test_typing_goes_where_the_focus_is_in_frames_and_roots(browser: Machine, site: Site) -> None:
    site.page("<label>Inner <input></label>", "/inner")
    closed = "host.attachShadow({ mode: 'closed' }).innerHTML = '<label>Coupon <input></label><button>Buy</button>'"
    html = f"<iframe src=/inner></iframe><div id=host></div><script>{closed}</script>"
    await browser.do("open_url", url=site.page(html, "/outer"))
    for name in ("Inner", "Coupon"):
        await browser.do("click", **await browser.at(name, "textbox"))
        assert (await browser.do("type_text", text="X1")).success
        assert await held(browser, name) == "X1"
    await browser.do("click", **await browser.at("Buy", "button"))
    assert not (await browser.do("type_text", text="X1")).success


def test_a_character_is_what_a_reader_takes_for_one() -> None:
    text = "e\u0301👩‍👩‍👧🇩🇪🇫🇷👍🏽1️⃣ a"
    assert list(keys.clusters(text)) == ["e\u0301", "👩‍👩‍👧", "🇩🇪", "🇫🇷", "👍🏽", "1️⃣", " ", "a"]
    assert "".join(keys.clusters(text * 3)) == text * 3


def test_every_printable_character_of_ascii_has_a_key() -> None:
    assert all(keys.stroke(chr(code)) for code in range(32, 127))
    assert keys.stroke("é") is keys.stroke("\u212a") is keys.stroke("\n") is None


def test_a_long_text_loses_nothing_where_it_is_cut() -> None:
    for length in (keyboard.LONGEST_TYPED, keyboard.LONGEST_TYPED + 1):
        typing = Typing("👩‍👩‍👧a\r\n\tb" * length)
        assert "".join(typing.pieces()) == typing.text
