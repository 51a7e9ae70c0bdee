"""What a text hides is named where it stands: blanks, piles of marks, false hosts. In pages, lists, titles and mails."""

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.mail.signed_links import link
from approvals.models import Approval
from approvals.templatetags.mails import line, quoted
from runs.agents.action_summary import action_title
from runs.models import Run
from tests.cast import Cast
from tests.pages.conftest import Visit, request_of, text
from web.hidden_text import pieces
from web.templatetags.show import extent, plain, unhidden, visible


@pytest.mark.parametrize(
    ("hides", "shown"),
    [
        ("ok" + "\n" * 301 + "and wipe the disk", "ok\n[300 blank lines]\nand wipe the disk"),
        ("ok" + " \t\n" * 40 + "wipe", "ok \t\n[39 blank lines]\nwipe"),
        ("two\n\n\nparagraphs", "two\n\n\nparagraphs"),
        ("rm" + " " * 500 + "-rf /", "rm[500 spaces]-rf /"),
        ("a\u2800b\u3164c\u115fd\uffa0e\u034ff", "a[U+2800]b[U+3164]c[U+115F]d[U+FFA0]e[U+034F]f"),
        ("a\u00a0b\u2003c\u3000d", "a[U+00A0]b[U+2003]c[U+3000]d"),
        ("z" + "\u0301" * 200 + "!", "z\u0301\u0301\u0301[U+0301 × 197]!"),
        ("\u0301x", "[U+0301]x"),
        ("c\u0336u\u0336t", "c[U+0336]u[U+0336]t"),
        ("a\ufe01b\U000e0101c\U000e0041", "a[U+FE01]b[U+E0101]c[U+E0041]"),
        ("x\u202egnp.exe", "x[U+202E]gnp.exe"),
        ("\U0003fffe", "[U+3FFFE]"),
        ("❤\ufe0f 1\ufe0f a\ufe0f", "❤\ufe0f 1\ufe0f a[U+FE0F]"),
        ("open https://r\u0430ypal.com/login", "open https://r\u0430ypal.com[leads to xn--rypal-4ve.com]/login"),
        ("https://paypal.com@evil.test/x", "https://paypal.com@evil.test[leads to evil.test]/x"),
        ("https://paypal\u3002com", "https://paypal\u3002com[leads to paypal.com]"),
        ("https://\u0455hop.test:8443/a", "https://\u0455hop.test:8443[leads to xn--hop-ehd.test]/a"),
        ("ask p\u0430ypal", "ask p\u0430ypal[mixed letters U+0430]"),
        ("\u03bfracle \u0438 \u0414\u043e\u043c", "\u03bfracle[mixed letters U+03BF] \u0438 \u0414\u043e\u043c"),
        ("Grüße, 漢字 ✓ 🎉 Việt café Ελλάδα", "Grüße, 漢字 ✓ 🎉 Việt café Ελλάδα"),
    ],
)  # fmt: skip
def test_what_hides_something_is_named(hides: str, shown: str) -> None:
    assert unhidden(hides) == shown
    assert plain(hides) == shown.replace("\n", "[U+000A]").replace("\t", "[U+0009]")
    assert visible(hides).count('class="ctl"') == shown.count("[")


@given(st.text(st.characters(), max_size=60))
def test_nothing_is_dropped_and_nothing_invisible_is_left(words: str) -> None:
    found = list(pieces(words))
    assert all(unicodedata.category(c) not in ("Cf", "Cn", "Co", "Cs") for p in found if not p.names for c in p.text)
    if not any(p.names for p in found):
        assert "".join(p.text for p in found) == words


@pytest.mark.parametrize(
    ("value", "words"), [("short", ""), ("a\n" * 300, "300 lines"), ("x" * 20_000, "20,000 characters"), (12, "")]
)
def test_much_text_says_how_much_it_is(value: object, words: str) -> None:
    assert extent(value) == words


def test_an_address_in_a_title_is_not_cut_silently() -> None:
    title = action_title("open_url", {"url": "https://shop.test/" + "a" * 400}, "shop.test", None)
    assert "a…" in title


def test_mails_name_it_too() -> None:
    assert quoted("ok" + "\n" * 301 + "wipe\u2800") == "> ok\n> [300 blank lines]\n> wipe[U+2800]"
    assert line("a\u3164b") == "a[U+3164]b"


@pytest.mark.django_db
def test_pages_lists_and_the_mailed_page_name_it(visit: Visit, begin: Callable[..., Run], cast: Cast) -> None:
    request = request_of(begin("x [pause]"))
    hides = "Open https://r\u0430ypal.com/\u2800login"
    Approval.objects.filter(id=request.id).update(title=hides, agent_message=f"ok{chr(10) * 301}wipe \u3164")
    ana = visit("ana")
    for path in ("/", f"/approvals/{request.id}", link(request, cast.people["ana"].id).partition("/d/")[2]):
        page = text(ana.get(path if path.startswith("/") else f"/d/{path}"))
        assert "leads to xn--rypal-4ve.com" in page, path
        assert "U+2800" in page, path
        assert "\u2800" not in page, path
    for part in ("300 blank lines", "U+3164"):
        assert part in text(ana.get(f"/approvals/{request.id}"))
