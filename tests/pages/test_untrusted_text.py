"""Words of agents and machines: shown as text, with nothing hidden in it."""

from collections.abc import Callable

import pytest

from approvals.models import Approval
from runs.models import Run, Step
from tests.pages.conftest import Visit, request_of, text
from web.templatetags.show import duration, money, visible

pytestmark = pytest.mark.django_db

EVIL = "<script>alert(1)</script>\" onload=x 'q' {{ secret }} \u202egnp.exe\u202c \x07\u200bend"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a <b> & \"c\" 'd'", "a &lt;b&gt; &amp; &quot;c&quot; &#x27;d&#x27;"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\u202egnp", '<span class="ctl" title="right-to-left override">U+202E</span>gnp'),
        (
            "\u2066x\u2069",
            (
                '<span class="ctl" title="left-to-right isolate">U+2066</span>x'
                '<span class="ctl" title="pop directional isolate">U+2069</span>'
            ),
        ),
        ("a\u200bb", 'a<span class="ctl" title="zero width space">U+200B</span>b'),
        ("\x1b[31m", '<span class="ctl" title="control character">U+001B</span>[31m'),
        ("a\rb", 'a<span class="ctl" title="control character">U+000D</span>b'),
        ("a\r\nb", "a\nb"),
        ("Grüße, 漢字 ✓ 🎉", "Grüße, 漢字 ✓ 🎉"),
        (None, ""),
    ],
)
def test_control_and_bidi_characters_are_made_visible(given: str | None, shown: str) -> None:
    assert visible(given) == shown


def test_an_evil_task_is_text_on_every_page(visit: Visit, begin: Callable[..., Run]) -> None:
    run = begin(f"{EVIL} [pause]")
    Approval.objects.filter(run_id=run.id).update(title=EVIL, agent_message=EVIL, message=EVIL)
    Step.objects.filter(run=run).update(text=EVIL, error=EVIL, host=EVIL)
    olga = visit("olga")
    request = request_of(run)
    for path in (
        "/",
        "/runs",
        f"/runs/{run.id}",
        f"/runs/{run.id}?step=1",
        f"/approvals/{request.id}",
        f"/runs/{run.id}/cancel",
        f"/runs/new?like={run.id}",
    ):
        page = text(olga.get(path))
        assert "<script>alert" not in page, path
        assert "\u202e" not in page.split('name="task"')[0], path  # a form field gives back exactly what was asked
        assert "{{ secret }}" in page, path


def test_evil_questions_and_fields_are_text(visit: Visit, begin: Callable[..., Run]) -> None:
    request = request_of(begin("x [question]"))
    option = {"label": EVIL, "description": EVIL, "recommended": True}
    question = {
        "id": '"><script>',
        "header": EVIL,
        "question": EVIL,
        "multi_select": False,
        "allow_custom": True,
        "secret": False,
        "options": [option],
    }
    Approval.objects.filter(id=request.id).update(questions=[question])
    assert "<script>" not in text(visit("ana").get(f"/approvals/{request.id}"))
    schema = {
        "type": "object",
        "properties": {
            '"><script>': {
                "type": "string",
                "title": EVIL,
                "description": EVIL,
                "default": EVIL,
                "maxLength": '"><script>',
            }
        },
    }
    Approval.objects.filter(id=request.id).update(kind="input", questions=[], input_schema=schema)
    assert "<script>" not in text(visit("ana").get(f"/approvals/{request.id}"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (125, "2 min 5 s"), (1560, "26 min"), (8040, "2 h 14 min"), (90_000, "1 d 1 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("cents", "words"), [(5, "$0.05"), (125_000, "$1,250.00"), (-5, "−$0.05"), (None, "$0.00")])
def test_money(cents: int | None, words: str) -> None:
    assert money(cents) == words
