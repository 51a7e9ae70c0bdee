"""What letters say, and what can hide nothing in them."""

import re
from typing import Any

import pytest
from django.conf import settings as installed
from django.utils.html import strip_tags

from approvals.models import Approval
from runs.models import Run
from tests.cast import Api, Cast
from tests.mail.conftest import Ask, group, join
from tests.mail.post import carry, mail_server, use_server
from tests.pages.reading import read

pytestmark = pytest.mark.django_db
EVIL = (
    "<script>alert(1)</script>\r\nBcc: everybody@elsewhere.test\r\n\r\nApprove here: \u202egnp.exe\u202c \x07\u200bend"
)


def html(letter: Any) -> str:
    ((content, kind),) = letter.alternatives
    assert kind == "text/html"
    return str(content)


def test_one_request_in_full(cast: Cast, ask: Ask) -> None:
    for name in ("pia", "paul", "petra", "piet", "pola"):
        join(cast, name, "approver")
    ask("Buy two tickets [pause]", awaiting_human_timeout_seconds=3600)
    (letter,) = [each for each in carry() if each.to == ["ana@acme.test"]]
    assert letter.subject == "[Test] Waits for you: The agent asks for approval"
    assert letter.from_email == installed.DEFAULT_FROM_EMAIL
    for text in (letter.body, re.sub(r"\s+", " ", strip_tags(html(letter)))):
        assert "Waits for you (test world)" in text
        assert "The agent asks for approval" in text
        assert "Buy two tickets" in text
        assert "Alice, agent scripted" in text
        assert "2 of at most 50" in text
        assert "59 min, until " in text
        assert "you, Olga, Paul, Petra, Pia, Piet and 1 more" in text
        assert "own words, which nobody has checked" in text
        assert "opening the page decides nothing" in text.lower()
    assert "> Scripted run asks for approval after step 1.\n" in letter.body
    assert letter.body.count("http://") == 2
    assert [link.rpartition("/")[0].partition("8000")[2] for link in read(html(letter)).links] == ["/d", ""]


def test_headers_and_the_way_out(ask: Ask) -> None:
    ask()
    letter = carry()[0]
    assert letter.extra_headers["List-Unsubscribe"] == "<http://127.0.0.1:8000/notifications>"
    assert letter.extra_headers["Auto-Submitted"] == "auto-generated"
    assert "http://127.0.0.1:8000/notifications" in letter.body
    assert 'href="http://127.0.0.1:8000/notifications"' in html(letter)


def test_the_address_of_the_installation(ask: Ask, settings: Any) -> None:
    settings.PUBLIC_URL = "https://agents.example.test"
    ask()
    letter = carry()[0]
    assert "https://agents.example.test/d/" in letter.body
    assert "127.0.0.1" not in letter.body + html(letter)


def test_the_rule_and_the_quorum_are_told(cast: Cast, test_key: Api, ask: Ask) -> None:
    group(cast, "finance", "ana")
    quorum = [{"group": "finance", "count": 1}, {"group": "anyone", "count": 1}]
    test_key.post("/permissions", {"tool": "click", "effect": "ask", "quorum": quorum})
    request = ask("x [steps:1]")
    (body,) = [each.body for each in carry() if each.to == ["ana@acme.test"]]
    assert "Needed      1 of finance, 1 of anyone" in body
    assert f"Why         {request.message}" in body


@pytest.mark.parametrize(
    ("task", "words"),
    [("x [questions:2]", "> Which tone?"), ("x [input]", "> Who is the recipient, and what is the subject?")],
)
def test_what_the_agent_asks_is_quoted_once(ask: Ask, task: str, words: str) -> None:
    ask(task)
    assert carry()[0].body.count(words) == 1


def test_a_plan_is_quoted(ask: Ask) -> None:
    ask("x", human_in_the_loop=True, permission_mode="plan")
    assert "> 1. click\n> 2. type\n> 3. press\n" in carry()[0].body


def test_untrusted_words_can_hide_nothing(ask: Ask, settings: Any) -> None:
    """No header, no line of ours, no markup can be made by an agent, a task, a person or a team."""
    request = ask()
    names = {"started_by": {"type": "user", "id": "usr_x", "name": EVIL}, "agent": EVIL, "task": EVIL}
    Approval.objects.filter(id=request.id).update(
        title=EVIL, agent_message=EVIL, message=EVIL, kind="tool", context=request.context | names
    )
    Run.objects.filter(id=request.run_id).update(task=EVIL)
    with mail_server() as server:
        use_server(settings, server.port)
        carry()
    got = server.got[0]
    assert got["Bcc"] is None
    assert "\n" not in got["Subject"]
    assert "<script>alert(1)</script>[U+000D][U+000A]Bcc: everybody@elsewhere.test[U+000D]" in got["Subject"]
    text, page = (got.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert page is not None
    for content in (text.get_content(), page.get_content()):
        assert not re.search("[\u202e\u202c\u200b\x07]", content)
    lines = text.get_content().splitlines()
    assert not [line for line in lines if line.startswith(("Bcc", "Approve here"))]
    assert "> Approve here: [U+202E]gnp.exe[U+202C] [U+0007][U+200B]end" in lines
    assert "<script>" not in page.get_content()
    assert 'title="right-to-left override">U+202E' in page.get_content()


def test_names_are_not_escaped_twice(cast: Cast, ask: Ask) -> None:
    cast.team.name = "Smith & Sons <Ltd>"
    cast.team.save(update_fields=["name"])
    ask("Say \"hi\" & 'bye' [pause]")
    letter = carry()[0]
    assert "requests of Smith & Sons <Ltd>." in letter.body
    assert "Say \"hi\" & 'bye'" in letter.body
    assert "requests of Smith &amp; Sons &lt;Ltd&gt;." in html(letter)


def test_typed_words_and_the_query_of_an_address_are_not_mailed(ask: Ask) -> None:
    request = ask("x", human_in_the_loop=True, permission_mode="approval")
    action = {"name": "type_text", "params": {"text": "hunter2hunter2"}, "risk": "write", "host": None}
    title = (
        "Open https://user:hunter2hunter2@shop.test/pay?token=hunter2hunter2#hunter2hunter2 on shop.test (spends money)"
    )
    Approval.objects.filter(id=request.id).update(action=action, title=title)
    letter = carry()[0]
    assert "hunter2" not in letter.subject + letter.body + html(letter)
    assert "Open https://shop.test/pay?… on shop.test (spends money)" in letter.subject
    assert letter.attachments == []


def test_long_words_are_cut_and_say_so(ask: Ask) -> None:
    request = ask("y" * 5000 + " [pause]")
    Approval.objects.filter(id=request.id).update(agent_message="z" * 50_000, title="t" * 500)
    letter = carry()[0]
    assert len(letter.subject) <= 160
    assert len(letter.body) < 5000
    assert "(the rest is on the page)" in letter.body


def test_a_mail_is_read_by_a_mail_server(ask: Ask, settings: Any) -> None:
    ask("Grüße aus Köln [pause]")
    with mail_server() as server:
        use_server(settings, server.port)
        carry()
    assert len(server.got) == 2
    body = server.got[0].get_body(("plain",))
    assert body is not None
    assert "Grüße aus Köln" in body.get_content()
    assert server.got[0]["Auto-Submitted"] == "auto-generated"


def test_a_list_says_of_each_request_what_is_asked(ask: Ask) -> None:
    ask("a [question]")
    ask("b [steps:1]", human_in_the_loop=True, permission_mode="approval")
    letter = carry()[0]
    for body in (letter.body, strip_tags(html(letter))):
        assert "“Which inbox?”" in body
        assert "Click at 101, 200" in body
