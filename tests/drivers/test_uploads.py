"""Files for pages: a page that asks for one is heard, and gets the file that is meant or none."""

import pytest

from machines.drivers.base import Action, ActResult
from tests.drivers.conftest import Machine, Site

pytestmark = pytest.mark.browser

PAGE = """<title>?</title><script>
const tell = (input) => { document.title = [...input.files].map((file) => `${file.name}:${file.size}`).join() || 'none'; };
let cancelled = 0;</script>
<label>Resume <input type=file onchange="tell(this)"></label> <label>Off <input type=file disabled></label>
<label class=button>Photo <input type=file hidden onchange="tell(this)"></label>
<input type=file hidden id=f onchange="tell(this)" oncancel="cancelled += 1; document.title = 'cancelled ' + cancelled">
<button type=button onclick="f.click()">Upload</button> <button type=button>Nothing</button>
<button onclick="const one = document.createElement('input'); one.type = 'file'; one.onchange = () => tell(one); one.click()">
Made on the fly</button>
<button onclick="showOpenFilePicker().catch((error) => { document.title = error.name })">Picker</button>
<input type=file multiple hidden id=m><button type=button onclick="m.click()">Several</button>"""
WANTED = "The page asked for a file. None was chosen; a file is given to it by upload."


@pytest.fixture
async def page(browser: Machine, site: Site) -> Machine:
    return await prepared(browser, site)


async def prepared(browser: Machine, site: Site) -> Machine:
    """At the page, with some files in its home."""
    home = browser.spec.folder / "home"
    (home / "papers").mkdir(exist_ok=True)
    (home / "papers" / "cv.pdf").write_bytes(b"12345")
    (home / "link.pdf").unlink(missing_ok=True)
    (home / "link.pdf").symlink_to("papers/cv.pdf")
    (home / "passwd").unlink(missing_ok=True)
    (home / "passwd").symlink_to("/etc/passwd")
    opened = await browser.do("open_url", url=site.page(PAGE, "/upload"))
    assert opened.success, opened.error
    return browser


async def upload(machine: Machine, name: str, file: str, role: str | None = None) -> ActResult:
    element = await machine.find(name, role)
    x, y = element.center
    return await machine.session.act(Action("upload", {"x": x, "y": y, "file": file}, 10_000, ref=element.ref))


async def title(machine: Machine) -> str:
    return (await machine.session.state()).title


@pytest.mark.parametrize(("button", "multiple"), [("Upload", False), ("Several", True), ("Picker", False)])
async def test_B15_a_page_that_asks_for_a_file_is_heard(page: Machine, button: str, multiple: bool) -> None:
    result = await page.do("click", **await page.at(button, "button"))
    assert result.success, result.error
    assert result.data["chooser"] == {"multiple": multiple}
    assert result.data["note"] == WANTED
    assert await title(page) == {"Upload": "cancelled 1", "Picker": "AbortError"}.get(button, "?")
    after = await page.do("click", **await page.at("Nothing", "button"))
    assert "chooser" not in after.data
    assert "note" not in after.data


async def test_B15_so_is_a_click_on_the_field_itself(page: Machine) -> None:
    assert (await page.do("click", **await page.at("Resume", "button"))).data["note"] == WANTED


@pytest.mark.parametrize("file", ["papers/cv.pdf", "~/papers/cv.pdf", "link.pdf", "papers/../papers/cv.pdf"])
@pytest.mark.parametrize("name", ["Resume", "Photo", "Upload", "Made on the fly"])
async def test_a_file_of_the_home_reaches_the_page(page: Machine, name: str, file: str) -> None:
    role = "button" if name != "Photo" else None
    result = await upload(page, name, file, role)
    assert result.success, result.error
    assert result.data["files"] == ["cv.pdf"]
    assert "note" not in result.data
    assert await title(page) == "cv.pdf:5"
    assert (await page.do("click", **await page.at("Upload", "button"))).data["note"] == WANTED


@pytest.mark.parametrize("file", ["none.pdf", "papers", "passwd", "/etc/passwd", "../../etc/passwd", "a\0b", " "])
async def test_a_file_that_is_not_there_is_refused_before_the_page_hears_of_it(page: Machine, file: str) -> None:
    for name in ("Resume", "Upload"):
        result = await upload(page, name, file, "button")
        assert not result.success
        assert "There is no file" in str(result.error)
    assert await title(page) == "?"


async def test_what_takes_no_file_says_so(page: Machine) -> None:
    assert "the page asked for none" in str((await upload(page, "Nothing", "papers/cv.pdf")).error)
    assert "locked" in str((await upload(page, "Off", "papers/cv.pdf", "button")).error)
    assert "showOpenFilePicker" in str((await upload(page, "Picker", "papers/cv.pdf")).error)


async def test_a_frame_asks_too(page: Machine, site: Site) -> None:
    await from_frames(page, site)


async def test_a_frame_asks_from_a_process_of_its_own(isolated: Machine, site: Site) -> None:
    await from_frames(await prepared(isolated, site), site)


async def from_frames(page: Machine, site: Site) -> None:
    inner = site.page(PAGE, "/inner-upload")
    for host in ("127.0.0.1", "localhost"):
        frame = f"<iframe src='{inner.replace('127.0.0.1', host)}' width=900 height=300></iframe>"
        await page.do("open_url", url=site.page(frame, "/frame-upload"))
        assert (await page.do("click", **await page.at("Upload", "button"))).data["note"] == WANTED
        for name in ("Resume", "Upload"):
            result = await upload(page, name, "papers/cv.pdf", "button")
            assert result.success, result.error


async def test_what_another_tab_asked_for_before_is_not_asked_for_now(page: Machine, site: Site) -> None:
    second = site.page("<button onclick='window.close()'>Close</button>", "/second-tab")
    await page.do("click", **await page.at("Upload", "button"))
    opened = site.page(PAGE + f"<a href='{second}' target=_blank rel=opener>New tab</a>", "/first-tab")
    await page.do("open_url", url=opened)
    await page.do("click", **await page.at("Upload", "button"))
    await page.do("click", **await page.at("New tab"))
    assert "note" not in (await page.do("click", **await page.at("Close"))).data
    assert (await page.find("New tab")).role == "link"
