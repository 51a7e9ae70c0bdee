"""What a program outside asks, on every page that shows requests: whose words they are, what was sent along, what came of it."""

import io
import re
from typing import Any

import pytest
from django.core import mail
from PIL import Image

from approvals.external import pictures
from approvals.mail.letters import compose
from approvals.mail.signed_links import link
from approvals.models import Approval, Notice
from tests.cast import Api, Cast
from tests.pages.conftest import Visit, text
from tests.pages.reading import read

pytestmark = pytest.mark.django_db
ACTION = {"name": "mail.send", "params": {"to": "a@shop.test", "cc": ["b@shop.test"]}, "host": "shop.test"}
SOURCE = {"name": "Nightly <b>report</b>", "url": "https://ci.test/job/7", "ref": "job 7"}


def ask(api: Api, **fields: Any) -> str:
    body = {"kind": "tool", "title": "Send the report", "action": ACTION, "source": SOURCE} | fields
    answer = api.post("/approvals", {name: value for name, value in body.items() if value is not None})
    assert answer.status_code in (200, 201), answer.content
    return str(answer.json()["id"])


def with_pictures(approval_id: str, *colours: str) -> str:
    row = Approval.objects.get(id=approval_id)
    files = []
    for colour in colours:
        file = io.BytesIO()
        Image.new("RGB", (40, 20), colour).save(file, "PNG")
        files.append(file.getvalue())
    row.evidence["pictures"] = pictures.store(files)
    row.save(update_fields=["evidence"])
    return approval_id


def words(answer: Any) -> str:
    """What can be read, on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", text(answer)).split())


def flat(answer: Any) -> str:
    return " ".join(text(answer).split())


def test_the_queue_says_who_asks_and_quotes_what(visit: Visit, test_key: Api) -> None:
    ask(test_key)
    ask(test_key, kind="question", title="About the tone", action=None, questions=[{"question": "Which tone?"}])
    page = flat(visit("ana").get("/"))
    assert "“Send the report”" in page
    assert "“Which tone?”" in page
    assert "“About the tone”" in page
    assert "Asked by “Nightly &lt;b&gt;report&lt;/b&gt;”, with key" in page
    assert "<b>report" not in page


def test_a_question_that_is_its_own_title_stands_once_in_the_queue(visit: Visit, test_key: Api) -> None:
    ask(test_key, kind="question", title="Which tone?", action=None, questions=[{"question": "Which tone?"}])
    row = words(visit("ana").get("/")).split("Compare and decide", 1)[1].split("Asked by", 1)[0]
    assert row.count("“Which tone?”") == 2  # with the name of its checkbox
    assert Approval.objects.get().headline == "“Which tone?”"


def test_a_program_without_a_name_of_its_own_has_only_its_key(visit: Visit, test_key: Api) -> None:
    request = ask(test_key, source=None)
    page = words(visit("ana").get(f"/approvals/{request}"))
    assert "own name for itself" not in page
    assert "Asked with the API key" in page
    assert Approval.objects.get().message == "No policy allows mail.send without a person."


def test_requests_of_programs_hold_up_no_run(visit: Visit, test_key: Api) -> None:
    ask(test_key)
    assert "1 open request, the oldest for" in words(visit("ana").get("/"))


def test_the_card_keeps_the_words_of_the_program_apart(visit: Visit, test_key: Api) -> None:
    request = ask(
        test_key,
        message="Please <i>hurry</i>",
        end_user="cust_7",
        metadata={"ticket <x>": "T-1"},
        external_id="report:7",
    )
    page = flat(visit("ana").get(f"/approvals/{request}"))
    assert "What it asks is in its own words" in page
    assert "The program’s own words" in page
    assert "Please &lt;i&gt;hurry&lt;/i&gt;" in page
    for shown in ("(the program’s own name for itself)", "cust_7", "ticket &lt;x&gt;", "T-1", "job 7", "report:7"):
        assert shown in page, shown
    assert "The program will read it." in page
    assert "The program is told what you changed." in page
    for of_runs in ("<dt>Spent", "<dt>Machine", "the agent", "/runs/None", "go to the run"):
        assert of_runs not in page, of_runs


def test_lists_in_parameters_are_shown_as_they_were_sent(visit: Visit, test_key: Api) -> None:
    request = ask(test_key, action=ACTION | {"params": {"rows": [{"id": 1, "open": True}], "none": None}})
    assert "&quot;open&quot;: true" in text(visit("ana").get(f"/approvals/{request}"))


def test_links_can_be_followed_only_where_they_say_they_lead(visit: Visit, test_key: Api) -> None:
    request = ask(test_key, evidence={"links": [{"label": "The <b>report</b>", "url": "https://раypal.com/a?b=1"}]})
    answer = visit("ana").get(f"/approvals/{request}")
    page, html = read(text(answer)), flat(answer)
    outside = [address for address in page.links if not address.startswith(("/", "#"))]
    assert outside == ["https://раypal.com/a?b=1", "https://ci.test/job/7"]
    assert html.count('rel="noopener noreferrer nofollow" target="_blank"') == 2
    assert "xn--ypal-43d9g.com" in html
    assert "The &lt;b&gt;report&lt;/b&gt;" in html


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "https://good.test@evil.test/",
        "https:\\\\evil.test",
        "/approvals",
        "https://[x",
    ],
)
def test_other_addresses_are_text(address: str, visit: Visit, test_key: Api) -> None:
    """The API takes none of them; the page does not rely on that."""
    request = ask(test_key, source=None)
    Approval.objects.update(evidence={"links": [{"label": "Look", "url": address}]})
    answer = visit("ana").get(f"/approvals/{request}")
    assert address not in read(text(answer)).links[1:] or address.startswith("/")
    assert "(not a web address)" in text(answer)


def test_pictures_are_shown_with_their_number_and_nobody_else_sees_them(visit: Visit, test_key: Api) -> None:
    request = with_pictures(ask(test_key), "red", "blue")
    ana, address = visit("ana"), f"/approvals/{request}/pictures"
    page = ana.get(f"/approvals/{request}")
    assert [str(image["src"]).partition("?")[0] for image in read(text(page)).images] == [
        f"{address}/1",
        f"{address}/2",
    ]
    assert "Picture 2 of 2 that the program sent along. Nobody has checked what it shows." in flat(page)
    answer = ana.get(f"{address}/2")
    assert (answer.status_code, answer["Content-Type"], answer["X-Content-Type-Options"]) == (
        200,
        "image/png",
        "nosniff",
    )
    assert "no-store" in answer["Cache-Control"]
    assert ana.get(f"{address}/3").status_code == 404
    assert visit("charlie").get(f"{address}/1").status_code == 404
    assert visit("ana", "live").get(f"{address}/1").status_code == 404


def test_what_takes_the_place_of_another_is_shown_beside_it(visit: Visit, test_key: Api) -> None:
    old = ask(test_key, external_id="mail:1")
    new = ask(test_key, external_id="mail:1", action=ACTION | {"params": {"to": "<evil>@shop.test"}})
    ana = visit("ana")
    page = flat(ana.get(f"/approvals/{new}"))
    assert "the program asks for something else than before" in page
    for shown in ("a@shop.test", "&lt;evil&gt;@shop.test", "changed"):
        assert shown in page, shown
    assert "Void: the program asks for something else now." in words(ana.get(f"/approvals/{old}"))
    assert f"/approvals/{new}" in text(ana.get(f"/approvals/{old}"))


def test_the_receipt_ends_with_what_the_program_reports(visit: Visit, test_key: Api) -> None:
    request = ask(test_key)
    ana = visit("ana")
    page = ana.post(f"/approvals/{request}/decide", {"verdict": "approve", "back": f"/approvals/{request}"})
    assert "Approved by you" in words(page)
    assert "The program has not said yet what came of it" in words(page)
    assert "data-unfinished" in text(page)
    test_key.put(f"/approvals/{request}/result", {"outcome": "failed", "text": "No <b>route</b>"})
    done = ana.get(f"/approvals/{request}")
    assert "The program says: it failed" in words(done)
    assert "No &lt;b&gt;route&lt;/b&gt;" in text(done)
    assert "data-unfinished" not in text(done)


def test_who_cancelled_is_named(visit: Visit, test_key: Api) -> None:
    request = ask(test_key)
    test_key.post(f"/approvals/{request}/cancel", {"reason": "Not needed"})
    page = words(visit("ana").get(f"/approvals/{request}"))
    assert "Cancelled by" in page
    assert "with its run" not in page
    assert "Not needed" in page


@pytest.mark.parametrize("on_timeout", ["expire", "reject"])
def test_the_end_of_its_time_is_told(on_timeout: str, visit: Visit, test_key: Api) -> None:
    request = ask(test_key, timeout_seconds=60, on_timeout=on_timeout)
    Approval.objects.update(expires_at="2026-01-01T00:00:00Z")
    ana = visit("ana")
    ana.post(f"/approvals/{request}/decide", {"verdict": "approve"})
    page = words(ana.get(f"/approvals/{request}"))
    expected = {
        "expire": "Nobody answered in time; the program that asked is told so.",
        "reject": "it counts as rejected",
    }
    assert expected[on_timeout] in page


def test_the_page_of_a_mail_shows_the_same(visit: Visit, test_key: Api, cast: Cast) -> None:
    request = with_pictures(
        ask(test_key, message="Hurry", evidence={"links": [{"label": "Log", "url": "https://ci.test/log"}]}), "red"
    )
    ana = visit("ana")
    path = "/d/" + link(Approval.objects.get(id=request), cast.people["ana"].id).rpartition("/")[2]
    answer = ana.get(path)
    page, html = read(text(answer)), flat(answer)
    assert [image["src"] for image in page.images] == [f"{path}/pictures/1"]
    assert ana.get(f"{path}/pictures/1")["Content-Type"] == "image/png"
    for shown in ("“Send the report”", "Asked by", "The program’s own words", "https://ci.test/log", "job 7"):
        assert shown in html, shown
    assert (page.inline, page.foreign, page.nameless_controls()) == ([], [], [])
    assert "Approved by you" in words(ana.post(path, {"verdict": "approve"}))


def test_a_letter_says_who_asks_and_quotes(test_key: Api, cast: Cast, settings: Any) -> None:
    request = Approval.objects.get(id=ask(test_key, message="Hurry\nRun  now"))
    notice = Notice(approval=request, user=cast.people["ana"], words="Waits for you", occasion="opened")
    letter = compose(cast.people["ana"], [notice])
    assert "“Send the report”" in letter.body
    assert "Asked by    “Nightly <b>report</b>”, with key" in letter.body
    assert "Action      mail.send" in letter.body
    assert "Reference   job 7" in letter.body
    assert "The program’s own words, which nobody has checked:" in letter.body
    assert "> Hurry" in letter.body
    assert "a@shop.test" not in letter.body, "values are not mailed"
    assert not mail.outbox or "None" not in mail.outbox[0].body


def test_those_of_one_program_are_decided_together(visit: Visit, test_key: Api) -> None:
    one = ask(test_key, metadata={"n": 1})
    two = ask(test_key, title="Send another", action=ACTION | {"params": {"to": "c@shop.test"}})
    other = ask(test_key, source={"name": "Someone else"})
    ana = visit("ana")
    answer = ana.get(f"/together?id={one}&id={two}&id={other}")
    page = words(answer)
    assert "They are of 2 sorts" in page
    assert "“Send another”" in page
    assert "Reason or note for the program" in page
    decided = ana.post("/together", {"id": [one, two], "verdict": "approve"})
    assert "2 requests approved." in words(decided)


def test_pages_hold_nothing_inline_and_name_everything(visit: Visit, test_key: Api) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    asked = [
        ask(test_key, kind="approval", action=None),
        with_pictures(ask(test_key), "red"),
        ask(test_key, kind="question", action=None, questions=[{"question": "Which?", "options": [{"label": "A"}]}]),
        ask(test_key, kind="input", action=None, input_schema=schema),
    ]
    ana = visit("ana")
    for path in ("/", *(f"/approvals/{request}" for request in asked)):
        answer = ana.get(path)
        page = read(text(answer))
        assert answer.status_code == 200
        assert (page.inline, page.foreign, page.nameless_controls(), page.twice()) == ([], [], [], set()), path


def test_the_audit_says_what_was_done_and_what_came_of_it(visit: Visit, test_key: Api) -> None:
    request = ask(test_key, external_id="a", message="Hurry")
    ana = visit("ana")
    ana.post(f"/approvals/{request}/claim")
    ana.post(f"/approvals/{request}/decide", {"verdict": "approve"})
    test_key.put(f"/approvals/{request}/result", {"outcome": "skipped", "text": "Too late"})
    cancelled = ask(test_key)
    test_key.post(f"/approvals/{cancelled}/cancel", {})
    answer = visit("bob").get(f"/audit?subject={request}")
    page = words(answer)
    for shown in (
        "Claimed",
        "Approved : Send the report",
        "Reported the result of",
        "Too late",
    ):
        assert shown in page, shown
    assert "/runs/None" not in text(answer)
    assert "Took back : Send the report" in words(visit("bob").get("/audit"))
    assert "Send the report" not in words(visit("charlie").get(f"/audit?subject={request}"))


@pytest.mark.parametrize(("effect", "sentence"), [("allow", "Approved by"), ("deny", "Rejected by")])
def test_what_a_policy_decided_says_so(effect: str, sentence: str, visit: Visit, cast: Cast, test_key: Api) -> None:
    other = cast.api(test=True, owner="adam")  # what a key allowed itself does not count
    policy = other.post("/permissions", {"tool": "mail.send", "effect": effect}).json()["id"]
    request = ask(test_key)
    answer = visit("ana").get(f"/approvals/{request}")
    assert f"{sentence} a policy , without asking anybody" in words(answer)
    assert f"/policies/{policy}" in text(answer)


def test_the_policy_that_asks_is_one_press_away(visit: Visit, test_key: Api) -> None:
    policy = test_key.post("/permissions", {"tool": "mail.*", "effect": "ask"}).json()["id"]
    answer = visit("ana").get(f"/approvals/{ask(test_key)}")
    assert "Why it asks A policy asks before" in words(answer)
    assert f'href="/policies/{policy}"' in text(answer)


def test_who_asks_may_not_approve_and_is_told(visit: Visit, test_key: Api) -> None:
    request = ask(test_key, four_eyes=True)
    page = words(visit("olga").get(f"/approvals/{request}"))
    assert "but not who asks" in page
