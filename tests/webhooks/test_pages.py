"""The pages of webhooks: who sees them, the secret once, and the log in plain words."""

import re
from typing import Any

import pytest

from accounts.models import WebhookDelivery, WebhookEndpoint
from accounts.webhooks import outbox
from accounts.webhooks.outbox import Outcome
from tests.cast import Api, Cast
from tests.pages.conftest import Visit, text
from tests.pages.reading import read
from tests.webhooks.receivers import Receiver, closed_port, deliver_all, deliver_due, verify

pytestmark = pytest.mark.django_db
PUBLIC = "https://93.184.216.34/hook"
PEOPLE = ("alice", "ana", "bob", "olga", "charlie")
# path, method, then the answer for Alice, Ana, Bob, Olga and Charlie
DOORS = [
    ("/webhooks", "get", 200, 200, 200, 200, 200),
    ("/webhooks/new", "get", 403, 403, 403, 200, 403),
    ("/webhooks/new", "post", 403, 403, 403, 422, 403),
    ("/webhooks/{id}", "get", 200, 200, 200, 200, 404),
    ("/webhooks/{id}/edit", "get", 403, 403, 403, 200, 403),
    ("/webhooks/{id}/edit", "post", 403, 403, 403, 422, 403),
    ("/webhooks/{id}/rotate", "get", 403, 403, 403, 200, 403),
    ("/webhooks/{id}/test", "post", 403, 403, 403, 302, 403),
    ("/webhooks/{id}/switch", "post", 403, 403, 403, 302, 403),
    ("/webhooks/{id}/deliveries/whd_none/redeliver", "post", 403, 403, 403, 404, 403),
    ("/webhooks/{id}/delete", "get", 403, 403, 403, 200, 403),
    ("/webhooks/whk_none", "get", 404, 404, 404, 404, 404),
]


@pytest.fixture
def hook(test_key: Api, receiver: Receiver) -> dict[str, Any]:
    made: dict[str, Any] = test_key.post("/webhooks", {"url": receiver.url, "description": "on-call"}).json()
    return made


@pytest.mark.parametrize("name", PEOPLE)
def test_doors_by_role(visit: Visit, hook: dict[str, Any], name: str) -> None:
    person, who = visit(name), PEOPLE.index(name) + 2
    for row in DOORS:
        address = row[0].format(id=hook["id"])
        answer = person.get(address) if row[1] == "get" else person.post(address, follow=False)
        assert answer.status_code == row[who], (row[0], row[1], name)
        if answer["Content-Type"].startswith("text/html") and answer.content:
            page = read(text(answer))
            assert page.headings.count("h1") == 1, row[0]
            assert not page.twice(), row[0]
            assert not page.nameless_controls(), row[0]
            assert not page.inline, row[0]


def test_links_lead_somewhere_or_are_not_shown(visit: Visit, hook: dict[str, Any]) -> None:
    for name in ("bob", "olga"):
        person = visit(name)
        for path in ("/webhooks", f"/webhooks/{hook['id']}"):
            links = {x for x in read(text(person.get(path))).links if x.startswith("/webhooks")}
            assert {link: person.get(link).status_code for link in links} == dict.fromkeys(links, 200)


def test_making_one_shows_the_secret_once(visit: Visit) -> None:
    olga = visit("olga")
    answer = olga.post(
        "/webhooks/new", {"url": PUBLIC, "events": ["run.failed", "approval.created"], "description": "chat"}
    )
    (secret,) = re.findall(r"whsec_[A-Za-z0-9+/]{43}=", text(answer))
    assert "no-store" in answer["Cache-Control"]
    row = WebhookEndpoint.objects.get()
    assert (row.url, row.events, row.description, row.test) == (
        PUBLIC,
        ["run.failed", "approval.created"],
        "chat",
        True,
    )
    for path in ("/webhooks", f"/webhooks/{row.id}", f"/webhooks/{row.id}/edit"):
        page = text(olga.get(path))
        assert secret not in page
        assert "93.184.216.34" in page
    assert secret[:10] + "..." in text(olga.get(f"/webhooks/{row.id}"))


def test_what_is_wrong_comes_back_with_the_form(visit: Visit) -> None:
    answer = visit("olga").post("/webhooks/new", {"url": "https://10.0.0.1/<b>", "events": ["run.failed"]})
    assert answer.status_code == 422
    page = text(answer)
    assert "Must lead to a public address, or to one that WEBHOOK_ALLOWED_HOSTS names." in page
    assert 'value="https://10.0.0.1/&lt;b&gt;"' in page
    assert "Choose at least one event." in text(visit("olga").post("/webhooks/new", {"url": PUBLIC}))


def test_a_test_arrives_and_the_log_says_so(visit: Visit, hook: dict[str, Any], receiver: Receiver) -> None:
    olga = visit("olga")
    page = text(olga.post(f"/webhooks/{hook['id']}/test"))
    assert "under way" in page
    assert 'hx-trigger="every 1s"' in page
    attempt = outbox.claim(WebhookDelivery.objects.get().id, 0)
    assert attempt is not None
    page = text(olga.get(f"/webhooks/{hook['id']}"))
    assert "under way" in page
    assert "next attempt" not in page
    outbox.settle(attempt, Outcome(500, "The receiver answered 500 Internal Server Error"))
    deliver_all()
    page = text(olga.get(f"/webhooks/{hook['id']}"))
    assert "arrived" in page
    assert "answered 200" in page
    assert "every 1s" not in page
    verify(receiver.got[0], hook["secret"])


def test_failures_are_told_in_plain_words_and_can_be_sent_again(
    visit: Visit, hook: dict[str, Any], receiver: Receiver
) -> None:
    olga, path = visit("olga"), f"/webhooks/{hook['id']}"
    olga.post(f"{path}/test")
    WebhookDelivery.objects.update(url=closed_port())
    deliver_due()
    page = text(olga.get(path))
    assert "tried 1 time" in page
    assert "Connection refused" in page
    assert "next attempt" in page
    deliver_all()
    page = text(olga.get(path))
    assert "6 of 6" in page
    failed = WebhookDelivery.objects.get()
    again = olga.post(f"{path}/deliveries/{failed.id}/redeliver")
    assert "sent again" in text(again)
    deliver_all()
    assert receiver.events == ["webhook.test"]
    assert "Send again" not in text(visit("bob").get(path))


def test_rotating_on_the_page(visit: Visit, hook: dict[str, Any]) -> None:
    olga, path = visit("olga"), f"/webhooks/{hook['id']}"
    (new,) = re.findall(r"whsec_[A-Za-z0-9+/]{43}=", text(olga.post(f"{path}/rotate")))
    assert new != hook["secret"]
    assert "the one before signs too until" in text(olga.get(path))
    assert new not in text(olga.get(path))


def test_editing_switching_and_deleting(visit: Visit, hook: dict[str, Any]) -> None:
    olga, path = visit("olga"), f"/webhooks/{hook['id']}"
    olga.post(f"{path}/edit", {"url": PUBLIC, "events": ["run.failed"], "description": ""})
    row = WebhookEndpoint.objects.get()
    assert (row.url, row.events, row.description) == (PUBLIC, ["run.failed"], "")
    for word, shown in (
        ("false", "This webhook is off."),
        ("false", "This webhook is off."),
        ("true", "The webhook is on."),
    ):
        assert shown in text(olga.post(f"{path}/switch", {"active": word}))
    olga.post(f"{path}/test")
    assert "1 message on the way is dropped" in text(olga.get(f"{path}/delete"))
    assert "The webhook is deleted." in text(olga.post(f"{path}/delete"))
    assert not WebhookDelivery.objects.exists()
    assert olga.get(path).status_code == 404


def test_pages_show_one_world(cast: Cast, visit: Visit, hook: dict[str, Any]) -> None:
    olga = visit("olga", "live")
    assert "127.0.0.1" not in text(olga.get("/webhooks"))
    assert olga.get(f"/webhooks/{hook['id']}").status_code == 404


def test_words_of_others_are_shown_as_words(visit: Visit, test_key: Api) -> None:
    made = test_key.post("/webhooks", {"url": PUBLIC + "?<script>", "description": "<b>x</b>\u202e"}).json()
    for path in ("/webhooks", f"/webhooks/{made['id']}"):
        page = text(visit("olga").get(path))
        assert "<b>x" not in page
        assert "<script>" not in page
        assert "U+202E" in page
