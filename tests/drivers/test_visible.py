"""What a page paints, and what only its source, its accessibility tree or its script knows."""

import pytest

from machines.drivers.browser.page.same_text import plain
from tests.drivers.conftest import Machine, Site
from tests.drivers.pressed import html, run
from tests.drivers.test_reach import FAR, either, either_machine  # noqa: F401

pytestmark = pytest.mark.browser
COVER = "<div style='position:absolute;inset:0;background:{}'></div>"


def over(color: str, word: str = "word", more: str = "") -> str:
    return f"<div style='position:relative;width:200px'><span {more}>{word}</span>{COVER.format(color)}</div>"


SEEN = {
    "plain": "<p>word</p>",
    "below the fold": FAR + "<p>word</p>",
    "in pieces": "<p>wo<b>r</b><i>d</i></p>",
    "in a scroller": f"<div style='height:80px;overflow:auto'>{FAR}<p>word</p></div>",
    "in a scroller to the right": "<div style='width:80px;overflow-x:auto;white-space:nowrap'>"
    "<span style='margin-left:900px'>word</span></div>",
    "what is placed outside a clip that does not hold it": "<div style='overflow:hidden;height:0'>"
    "<span style='position:absolute;top:40px'>word</span></div>",
    "half faded": "<p style='opacity:.5'>word</p>",
    "visible in what is hidden": "<div style='visibility:hidden'><p style='visibility:visible'>word</p></div>",
    "without a box of its own": "<p><span style='display:contents'>word</span></p>",
    "gradient text": "<p style='color:transparent;background:linear-gradient(red,blue);background-clip:text'>word</p>",
    "through a thin cover": over("rgba(0,0,0,.3)"),
    "through a cover without colour": over("transparent"),
    "takes no clicks": "<p style='pointer-events:none'>word</p>",
    "floating label": "<div style='position:relative'><input style='background:white'>"
    "<label style='position:absolute;left:8px;top:0;pointer-events:none'>word</label></div>",
    "inert": "<p inert>word</p>",
    "beside a modal dialog": "<p>word</p><dialog id=d>x</dialog><script>d.showModal()</script>",
    "beside a modal dialog that lets it through": "<style>dialog::backdrop{background:#000a}</style><p>word</p>"
    "<dialog id=d>x</dialog><script>d.showModal()</script>",
    "in a modal dialog": "<dialog id=d>word</dialog><script>d.showModal()</script>",
    "open details": "<details open><summary>s</summary>word</details>",
    "far with content-visibility auto": f"{FAR}{FAR}<div style='content-visibility:auto'>word</div>",
    "open root": "<div id=h></div><script>h.attachShadow({mode:'open'}).innerHTML='<p>word</p>'</script>",
    "closed root": "<div id=h></div><script>h.attachShadow({mode:'closed'}).innerHTML='<p>word</p>'</script>",
    "slotted in a closed root": "<div id=h>word</div><script>"
    "h.attachShadow({mode:'closed'}).innerHTML='<p><slot></slot></p>'</script>",
    "value of a field": "<input value=word>",
    "placeholder": "<input placeholder=word>",
    "value of a text area": "<textarea>word</textarea>",
    "chosen option": "<select><option>x<option selected>word</select>",
    "option of an open list": "<select multiple><option>x<option>word</select>",
    "button of an input": "<input type=submit value=word>",
    "alternative of a picture": "<img alt=word width=50 height=50 src='data:image/gif;base64,"
    "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7'>",
    "name of a button without text": "<button aria-label=word style='width:30px'>&nbsp;</button>",
    "added by a style sheet": "<style>p::after{content:'word'}</style><p>x</p>",
    "svg": "<svg width=200 height=50><text x=10 y=30>word</text></svg>",
    "soft hyphen": "<p>wo&shy;rd</p>",
    "zero-width space": "<p>wo&#8203;rd</p>",
    "names that shadow": "<form><input name=parentNode><input name=checkVisibility><p>word</p></form><img name=body>",
    "broken scripts": "<p>word</p><script>Node.prototype.appendChild = Map = getComputedStyle = Array = null</script>",
    "frame": "<iframe srcdoc='<p>word</p>'></iframe>",
    "turned frame": "<iframe style='transform:rotate(20deg) scale(.5)' srcdoc='<p>word</p>'></iframe>",
    "scrolled in a frame": "<iframe srcdoc='<div style=height:2000px></div><p>word</p>'></iframe>",
    "frame below the fold": f"{FAR}<iframe srcdoc='<p>word</p>'></iframe>",
    "other site": "<iframe src='http://localhost:{port}/inner'></iframe>",
    "frame in a frame of another site": "<iframe src='http://localhost:{port}/outer'></iframe>",
}
UNSEEN = {
    "not displayed": "<p style='display:none'>word</p>",
    "hidden": "<p hidden>word</p>",
    "visibility": "<p style='visibility:hidden'>word</p>",
    "no opacity": "<p style='opacity:0'>word</p>",
    "no opacity around it": "<div style='opacity:0'><p>word</p></div>",
    "hardly any opacity": "<p style='opacity:.01'>word</p>",
    "little by little": "<div style='opacity:.2'><div style='opacity:.2'><p style='opacity:.2'>word</p></div></div>",
    "filter": "<div style='filter:opacity(0)'><p>word</p></div>",
    "transparent": "<p style='color:transparent'>word</p>",
    "transparent fill": "<p style='-webkit-text-fill-color:rgba(0,0,0,0)'>word</p>",
    "no size": "<p style='font-size:0'>word</p>",
    "scaled to nothing": "<p style='transform:scale(0)'>word</p>",
    "closed details": "<details><summary>s</summary>word</details>",
    "content-visibility": "<div style='content-visibility:hidden'>word</div>",
    "until found": "<div hidden=until-found>word</div>",
    "unopened option": "<select><option selected>x<option>word</select>",
    "closed popover": "<div popover>word</div>",
    "moved out": "<nav style='position:fixed;left:0;width:200px;transform:translateX(-100%)'>word</nav>",
    "moved below": "<nav style='position:fixed;top:100%'>word</nav>",
    "overflow": "<div style='width:50px;height:20px;overflow:hidden;white-space:nowrap'>"
    "<span style='margin-left:200px'>word</span></div>",
    "no height": "<div style='height:0;overflow:hidden'>word</div>",
    "for screen readers": "<span style='position:absolute;width:1px;height:1px;overflow:hidden'>word</span>",
    "clipped": "<span style='position:absolute;clip:rect(0 0 0 0)'>word</span>",
    "clip-path": "<p style='clip-path:inset(100%)'>word</p>",
    "clip-path below the fold": f"{FAR}<p style='clip-path:inset(50%)'>word</p>",
    "indent": "<p style='text-indent:-9999px;overflow:hidden'>word</p>",
    "covered": over("white"),
    "covered by a picture": over("url(data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7)"),
    "covered by several": over("rgba(0,0,0,.8)") .replace("</div></div>", f"</div>{COVER.format('rgba(0,0,0,.8)')}</div>"),
    "behind its own box": "<div style='background:white'><p style='position:relative;z-index:-1'>word</p></div>",
    "behind a modal dialog": "<p style='position:fixed;left:45%;top:45%'>word</p>"
    "<dialog id=d style='width:600px;height:400px'>x</dialog><script>d.showModal()</script>",
    "behind an opaque backdrop": "<style>dialog::backdrop{background:#000}</style><p>word</p>"
    "<dialog id=d>x</dialog><script>d.showModal()</script>",
    "password": "<input type=password value=word>",
    "hidden field": "<input type=hidden value=word>",
    "value of a field that is not shown": "<div style='opacity:0'><input value=word></div>",
    "placeholder under a value": "<input placeholder=word value=x>",
    "label that nobody sees": "<button aria-label=word>Other</button>",
    "title": "<p title=word>x</p>",
    "script": "<script>'word'</script>",
    "template": "<template><p>word</p></template>",
    "not slotted": "<div id=h>word</div><script>h.attachShadow({mode:'open'}).innerHTML='<p>x</p>'</script>",
    "hidden frame": "<iframe style='display:none' srcdoc='<p>word</p>'></iframe>",
    "faded frame": "<iframe style='opacity:0' srcdoc='<p>word</p>'></iframe>",
    "frame moved out": "<iframe style='position:fixed;left:-900px' srcdoc='<p>word</p>'></iframe>",
    "covered frame": over("white").replace("<span >word</span>", "<iframe srcdoc='<p>word</p>'></iframe>"),
    "faded other site": "<iframe style='opacity:0' src='http://localhost:{port}/inner'></iframe>",
    "covered other site": over("white").replace(
        "<span >word</span>", "<iframe src='http://localhost:{port}/inner'></iframe>"
    ),
}  # fmt: skip
CASES = [(name, body, True) for name, body in SEEN.items()] + [(name, body, False) for name, body in UNSEEN.items()]


@pytest.mark.parametrize(("body", "seen"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_text_is_what_is_painted(either: Machine, site: Site, body: str, seen: bool) -> None:  # noqa: F811
    port = site.host.rpartition(":")[2]
    site.page("<p>word</p>", "/inner")
    site.page(f"<iframe src='http://{site.host}/inner'></iframe>", "/outer")
    await either.do("open_url", url=site.page(html(body.replace("{port}", port))))
    assert ("word" in await either.session.text()) is seen


async def test_lines_are_blocks(either: Machine, site: Site) -> None:  # noqa: F811
    body = "<h1>One  <b>two</b></h1><p>three<br>four</p><div>five<p>six</p>seven</div><pre>a\n b</pre>"
    await either.do("open_url", url=site.page(html(body)))
    assert await either.session.text() == "One two\nthree\nfour\nfive\nsix\nseven\na\n b"


async def test_reading_leaves_nothing_in_the_page(either: Machine, site: Site) -> None:  # noqa: F811
    await either.do("open_url", url=site.page(html("<p>word</p>")))
    before = await run(either, "Object.getOwnPropertyNames(window).length")
    await either.session.text()
    assert await run(either, "Object.getOwnPropertyNames(window).length") == before


def test_plain_text_is_composed_and_without_marks_that_nobody_sees() -> None:
    assert plain("cafe\u0301") == "caf\u00e9"
    assert plain("in\u00advoice\u200b \ufeffx\u2060") == "invoice x"
    family = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
    assert plain(f"a{family}\u200d.") == f"a{family}."
    assert plain("\ue000x") == "x"  # what stands for a joiner meanwhile
