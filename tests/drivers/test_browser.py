"""Browser machines: what a person or agent does on pages, and what is seen of it."""

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from machines.drivers.base import Session
from tests.drivers.conftest import Machine, Site, spec_of

pytestmark = pytest.mark.browser

FORM = """<!doctype html><title>Form</title><h1>Sign in</h1>
<form onsubmit="event.preventDefault();
  document.title = [mail.value, notes.value, color.value, agree.checked].join('|')">
<label>Email <input name=mail value="old text"></label> <label>Notes <textarea name=notes>abc</textarea></label>
<label>Color <select name=color><option>Red<option>Light green</select></label>
<label><input type=checkbox name=agree> Agree</label> <label>Day <input type=date name=day></label>
<label>Locked <input readonly value=x></label> <button>Send</button></form><button disabled>Off</button>
<iframe title=frame srcdoc="<p>In a frame</p><input aria-label=Deep>" width=400 height=90></iframe>
<div style="height: 2000px"></div><p>The end</p>"""


async def open_page(browser: Machine, site: Site, html: str) -> None:
    result = await browser.do("open_url", url=site.page(html))
    assert result.success, result.error


async def title(session: Session) -> str:
    return (await session.state()).title


async def test_a_form_is_filled_and_sent(browser: Machine, site: Site) -> None:
    await open_page(browser, site, FORM)
    assert (await browser.do("fill", **await browser.at("Email", "textbox"), text="é✓漢字")).success
    assert (await browser.do("fill", **await browser.at("Notes", "textbox"), text="two\nlines")).success
    assert (await browser.do("fill", **await browser.at("Day", "Date"), text="2026-11-22")).success
    chosen = await browser.do("select_option", **await browser.at("Color", "combobox"), option="light green")
    assert chosen.data["selected"] == "Light green"
    await browser.do("click", **await browser.at("Agree", "checkbox"))
    assert (await browser.find("Agree", "checkbox")).checked is True
    assert (await browser.find("Email", "textbox")).value == "é✓漢字"
    await browser.do("click", **await browser.at("Send"))
    assert await title(browser.session) == "é✓漢字|two\nlines|Light green|true".replace("\n", " ")


async def test_what_cannot_be_filled_or_chosen_is_said(browser: Machine, site: Site) -> None:
    await open_page(browser, site, FORM)
    button = await browser.at("Off")
    assert "no field" in str((await browser.do("fill", **button, text="x")).error)
    assert "cannot be changed" in str((await browser.do("fill", **await browser.at("Locked"), text="y")).error)
    assert "no list" in str((await browser.do("select_option", **button, option="x")).error)
    missing = await browser.do("select_option", **await browser.at("Color", "combobox"), option="Blue")
    assert missing.error == 'The list has no option "Blue". It has: Red, Light green.'
    assert "no key named" in str((await browser.do("key_press", key="hyper")).error)


async def test_of_two_options_of_one_name_none_is_guessed(browser: Machine, site: Site) -> None:
    cities = (
        "<optgroup label=France><option value=1>Paris</optgroup><optgroup label=Texas><option value=2>Paris</optgroup>"
    )
    same = "<option value=7>Green<option value=7>Green"
    await open_page(
        browser, site, f"<select aria-label=City><option>None{cities}</select><select aria-label=Same>{same}</select>"
    )
    twice = await browser.do("select_option", **await browser.at("City", "combobox"), option="Paris")
    assert twice.error == 'The list has 2 options "Paris".'
    assert (await browser.find("City", "combobox")).value == "None"
    assert (await browser.do("select_option", **await browser.at("City", "combobox"), option="2")).success
    assert (await browser.do("select_option", **await browser.at("Same", "combobox"), option="green")).success


async def test_keys_select_copy_and_paste(browser: Machine, site: Site) -> None:
    await open_page(browser, site, FORM)
    await browser.do("click", **await browser.at("Email", "textbox"))
    await browser.do("key_combo", keys=["ctrl", "a"])
    await browser.do("type_text", text="abc")
    await browser.do("key_press", key="backspace")
    await browser.do("key_combo", keys=["shift", "x"])
    await browser.do("key_press", key="tab")
    await browser.do("key_combo", keys=["ctrl", "a"])
    await browser.do("type_text", text="note")
    assert (await browser.find("Email", "textbox")).value == "abX"
    assert (await browser.find("Notes", "textbox")).value == "note"
    await browser.do("click", **await browser.at("Email", "textbox"))
    await browser.do("key_press", key="enter")
    assert (await title(browser.session)).startswith("abX|note")


async def test_elements_have_roles_names_and_boxes_that_hit(browser: Machine, site: Site) -> None:
    await open_page(browser, site, FORM)
    found = await browser.session.elements()
    assert [one.name for one in found if one.role == "heading"] == ["Sign in"]
    assert (await browser.find("Off", "button")).disabled
    end = await browser.find("The end")
    assert end.y > 2000
    await browser.do("scroll", x=600, y=500, direction="down", amount=10)
    assert (await browser.find("The end")).y == end.y - 1000
    assert (await browser.find("Sign in", "heading")).y < 0


async def test_frames_are_part_of_the_page(browser: Machine, site: Site) -> None:
    await open_page(browser, site, FORM)
    assert (await browser.do("fill", **await browser.at("Deep", "textbox"), text="inside")).success
    assert (await browser.find("Deep", "textbox")).value == "inside"
    assert "In a frame" in await browser.session.text()
    assert "The end" in await browser.session.text()


async def test_a_list_opens_and_takes_clicks(browser: Machine, site: Site) -> None:
    await open_page(browser, site, FORM)
    await browser.do("click", **await browser.at("Color", "combobox"))
    await browser.do("click", **await browser.at("Light green", "option"))
    assert (await browser.find("Color", "combobox")).value == "Light green"


async def test_a_dialog_is_seen_and_answered_even_by_a_later_visitor(browser: Machine, site: Site) -> None:
    await open_page(browser, site, "<button onclick=\"document.title = confirm('Delete it?')\">Delete</button>")
    result = await browser.do("click", **await browser.at("Delete"))
    assert result.data["dialog"] == "Delete it?"
    await browser.session.close()
    browser.session = await browser.driver.attach(browser.spec, browser.handle)
    assert (await browser.session.state()).dialog == "Delete it?"
    assert Image.open(io.BytesIO((await browser.session.screenshot()).png)).size == (1280, 720)
    assert await browser.session.text() == "Delete it?\nOK\nCancel"
    refused = await browser.do("click", x=5, y=5)
    assert refused.error == "A dialog is open and must be answered first: Delete it?"
    await browser.do("click", **await browser.at("OK", "button"))
    assert await title(browser.session) == "true"
    await browser.do("click", **await browser.at("Delete"))
    await browser.do("key_press", key="escape")
    assert await title(browser.session) == "false"


async def test_a_prompt_takes_text_and_a_late_alert_is_noticed(browser: Machine, site: Site) -> None:
    await open_page(browser, site, "<button onclick=\"document.title = prompt('Name?', 'A')\">Ask</button>")
    await browser.do("click", **await browser.at("Ask"))
    await browser.do("key_press", key="end")
    await browser.do("type_text", text="da")
    assert (await browser.find("Name?", "textbox")).value == "Ada"
    await browser.do("key_press", key="enter")
    assert await title(browser.session) == "Ada"
    await open_page(browser, site, "<script>setTimeout(() => alert('late'), 150)</script>")
    await browser.do("wait", ms=5000, timeout_ms=2000)
    assert (await browser.session.state()).dialog == "late"


async def test_the_newest_tab_is_followed_and_left(browser: Machine, site: Site) -> None:
    site.page("<title>Second</title><h1>Second page</h1><button onclick='window.close()'>Close</button>", "/two")
    await open_page(browser, site, "<title>First</title><a href='/two' target=_blank rel=opener>New tab</a>")
    await browser.do("click", **await browser.at("New tab"))
    assert await title(browser.session) == "Second"
    assert "Second page" in await browser.session.text()
    await browser.do("click", **await browser.at("Close"))
    assert await title(browser.session) == "First"


async def test_a_click_waits_for_the_page_it_leads_to(browser: Machine, site: Site) -> None:
    site.page("<title>Arrived</title>", "/arrived")
    await open_page(browser, site, "<button onclick=\"fetch('/').then(() => location = '/arrived')\">Go</button>")
    result = await browser.do("click", **await browser.at("Go"))
    assert str(result.data["url"]).endswith("/arrived")
    assert await title(browser.session) == "Arrived"


async def test_a_form_is_posted_through_the_proxy(browser: Machine, site: Site) -> None:
    form = "<form method=post action=/save><input name=word aria-label=Word><button>Save</button></form>"
    await open_page(browser, site, form)
    await browser.do("fill", **await browser.at("Word"), text="hello")
    await browser.do("click", **await browser.at("Save"))
    assert "POST /save word=hello" in site.asked


async def test_pages_are_gone_back_to_and_loaded_again_but_no_form_is_sent_twice(browser: Machine, site: Site) -> None:
    form = "<title>Form</title><form method=post action=/twice><input name=word aria-label=Word><button>Save</button></form>"
    await browser.do("open_url", url=site.page("<title>First</title>", "/first"))
    await open_page(browser, site, form)
    await browser.do("fill", **await browser.at("Word"), text="once")
    await browser.do("click", **await browser.at("Save"))
    refused = await browser.do("reload")
    assert refused.error == "This page is the answer to a form: to load it again would send the form again."
    assert site.asked.count("POST /twice word=once") == 1
    assert (await browser.do("go_back")).success
    assert await title(browser.session) == "Form"
    before = site.asked.count("GET /")
    assert (await browser.do("reload")).success
    assert site.asked.count("GET /") == before + 1
    assert (await browser.do("go_back")).success
    assert await title(browser.session) == "First"


async def test_a_first_page_has_none_before_it(tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINE_ALLOWED_HOSTS", site.host)
    machine = Machine(spec_of("browser", tmp_path / "machine"))
    await machine.start()
    try:
        assert (await machine.do("open_url", url=site.page("<title>One</title>", "/one"))).success
        assert (await machine.do("go_back")).error == "There is no page to go back to."
    finally:
        await machine.stop()


async def test_a_download_lands_in_the_home(browser: Machine, site: Site) -> None:
    site.page("quarterly numbers", "/report.txt", "application/octet-stream")
    await open_page(browser, site, "<a href='/report.txt'>Report</a>")
    await browser.do("click", **await browser.at("Report"))
    content = None
    async with asyncio.timeout(5):
        while content is None:
            content = await browser.session.read_file("Downloads/report.txt")
    assert content == b"quarterly numbers"


async def test_drag_and_double_click(browser: Machine, site: Site) -> None:
    watch = "<body style='margin:0;height:700px'><script>let said = [];"
    watch += "const say = e => document.title = said.push(e.type) && said;"
    watch += "for (const t of ['mousedown', 'mouseup', 'dblclick', 'contextmenu']) document.addEventListener(t, say);"
    watch += "</script>"
    await open_page(browser, site, watch)
    await browser.do("drag", from_x=100, from_y=100, to_x=400, to_y=200)
    assert await title(browser.session) == "mousedown,mouseup"
    await browser.do("click", x=50, y=50, button="left", count=2)
    assert (await title(browser.session)).endswith("dblclick")
    await browser.do("click", x=50, y=50, button="right", count=1)
    assert "contextmenu" in await title(browser.session)


async def test_the_picture_has_exactly_the_asked_size(browser: Machine, site: Site) -> None:
    await open_page(browser, site, "<title>Blue</title><body style='background: #00f'>")
    frame = await browser.session.screenshot()
    image = Image.open(io.BytesIO(frame.png)).convert("RGB")
    assert image.size == (1280, 720)
    assert image.getpixel((1279, 719)) == (0, 0, 255)


async def test_a_page_that_never_answers_costs_no_more_than_the_timeout(browser: Machine, site: Site) -> None:
    await open_page(
        browser, site, "<button onclick='for (const end = Date.now() + 1200; Date.now() < end;);'>Spin</button>"
    )
    result = await browser.do("click", timeout_ms=500, **await browser.at("Spin"))
    assert result.error == "The page did not answer within 500 ms."


async def test_a_page_that_hangs_is_closed_and_the_next_can_be_opened(
    browser: Machine, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("machines.drivers.browser.driver.READ_TIMEOUT", 1.0)
    hang = "<title>Hangs</title><script>setTimeout(() => { for (;;); }, 50)</script>"
    await open_page(browser, site, hang)
    await browser.do("wait", ms=200)
    assert (await browser.session.screenshot()).width == 1280
    assert (await browser.session.state()).url == "about:blank"
    await open_page(browser, site, "<title>Next</title>")
    assert await title(browser.session) == "Next"


async def test_a_page_that_breaks_its_own_script_can_still_be_read(browser: Machine, site: Site) -> None:
    broken = "<h1>Read me</h1><script>Document.prototype.querySelectorAll = Promise = null</script>"
    await open_page(browser, site, broken)
    assert await browser.session.text() == "Read me"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_site_that_cannot_be_reached_is_a_failure_and_can_be_looked_at(
    browser: Machine, site: Site, scheme: str
) -> None:
    for _ in range(2):
        result = await browser.do("open_url", url=f"{scheme}://127.0.0.1:9999/")
        assert result.error == "The site cannot be reached, or machines may not go there."
        assert (await browser.session.screenshot()).width == 1280
        await browser.session.elements()
    site.page("numbers", "/file.bin", "application/octet-stream")
    assert (await browser.do("open_url", url=site.page("", "/none.html"))).success
    assert (await browser.do("open_url", url=f"http://{site.host}/file.bin")).success


async def test_a_restarted_browser_keeps_its_home_and_opens_its_page_again(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MACHINE_ALLOWED_HOSTS", site.host)
    machine = Machine(spec_of("browser", tmp_path / "machine"))
    await machine.start()
    try:
        url = site.page("<title>Kept</title><script>document.cookie = 'seen=yes; max-age=9999'</script>", "/kept")
        await machine.do("open_url", url=url)
        first = machine.handle
        await machine.stop()
        site.page("<title>Kept</title><script>document.title += ' ' + document.cookie</script>", "/kept")
        await machine.start()
        assert machine.handle["pid"] != first["pid"]
        state = await machine.session.state()
        assert (state.title, state.url) == ("Kept seen=yes", url)
    finally:
        await machine.stop()
