"""The mail of an invitation: what it says, and what the page says when it does not go out."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.test import Client
from django_q.models import OrmQ

from accounts.models import Invitation, Team
from accounts.tasks import mail_invitation
from tests.cast import Cast
from tests.pages.conftest import Visit, text
from tests.people.conftest import Work, invite, the_invitation

pytestmark = pytest.mark.django_db
SMTP = "django.core.mail.backends.smtp.EmailBackend"


def test_the_mail_names_who_invites_to_what_and_its_link_works(visit: Visit, work: Work, client: Client) -> None:
    path = invite(visit("olga"))
    assert mail.outbox == []  # a task sends it, after the commit
    assert "being sent" in text(visit("bob").get("/members"))
    assert work() == ["accounts.tasks.mail_invitation"]
    (sent,) = mail.outbox
    assert sent.to == ["erik@outside.test"]
    assert sent.subject == "Olga invites you to Acme on Countersign"
    assert sent.from_email == "Countersign <countersign@localhost>"
    assert f"\nhttp://testserver{path}\n" in sent.body
    assert "as approver" in sent.body
    page = text(visit("bob").get("/members"))
    assert "being sent" not in page
    assert "sent</span>" in page
    assert client.get(path).status_code == 200


def test_the_queue_never_holds_the_link(visit: Visit) -> None:
    token = invite(visit("olga")).rsplit("/", 1)[1]
    assert all(token not in str(row.task) for row in OrmQ.objects.all())


def test_only_the_newest_link_is_mailed_and_only_once(visit: Visit, work: Work) -> None:
    for _ in range(3):
        path = invite(visit("olga"))
    tasks = [row.task["args"] for row in OrmQ.objects.order_by("id") if row.func() == "accounts.tasks.mail_invitation"]
    work()
    for args in tasks:
        mail_invitation(*args)
    assert [path in sent.body for sent in mail.outbox] == [True]


def test_nothing_is_mailed_for_an_invitation_that_was_withdrawn(visit: Visit, work: Work) -> None:
    olga = visit("olga")
    invite(olga)
    olga.post(f"/invitations/{the_invitation().id}/revoke")
    work()
    assert mail.outbox == []


def test_names_cannot_write_headers(visit: Visit, cast: Cast, work: Work) -> None:
    Team.objects.filter(id=cast.team.id).update(name="Acme\r\nBcc: everybody@outside.test")
    invite(visit("olga"))
    work()
    assert mail.outbox[0].subject == "Olga invites you to Acme Bcc: everybody@outside.test on Countersign"
    assert mail.outbox[0].recipients() == ["erik@outside.test"]


def test_without_a_mail_server_the_page_says_so(visit: Visit, work: Work, settings: Any, capsys: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    path = invite(visit("olga"))
    work()
    assert path in capsys.readouterr().out
    assert "no mail server is set up (EMAIL_URL)" in text(visit("olga").get("/members"))


def broken(visit: Visit, work: Work, client: Client) -> str:
    """What the page says after a mail that did not go out; the invitation itself stands."""
    path = invite(visit("olga"))
    work()
    assert client.get(path).status_code == 200
    page = text(visit("olga").get("/members"))
    assert "not delivered" in page
    problem = Invitation.objects.get().mail_problem or ""
    assert problem in page
    return problem


def test_a_server_that_is_down_breaks_nothing(visit: Visit, work: Work, client: Client, settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, "127.0.0.1", port
    assert broken(visit, work, client) == "the mail server cannot be reached: connection refused"


def test_a_server_without_a_name_breaks_nothing(visit: Visit, work: Work, client: Client, settings: Any) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, "no such host.invalid", 25
    assert broken(visit, work, client) == "the name of the mail server could not be resolved"


def test_a_server_that_is_silent_breaks_nothing(visit: Visit, work: Work, client: Client, settings: Any) -> None:
    settings.EMAIL_TIMEOUT = 0.2
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST = SMTP, "127.0.0.1"
        settings.EMAIL_PORT = server.getsockname()[1]
        assert broken(visit, work, client) == "the mail server broke off: timed out"


def test_a_backend_that_fails_in_its_own_way_breaks_nothing(
    visit: Visit, work: Work, client: Client, settings: Any
) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.Broken"
    assert broken(visit, work, client) == "ArithmeticError: out of stamps"


class Broken(BaseEmailBackend):
    def send_messages(self, sent: Any) -> int:
        raise ArithmeticError("out of stamps")


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (b"RCPT", "the mail server refuses the address: 550 no such user"),
        (b"MAIL", "the mail server answered 550 no such user"),
        (b"AUTH", "the mail server refuses our user and password: 550 no such user"),
    ],
)
def test_a_server_that_refuses_is_quoted(
    visit: Visit, work: Work, client: Client, settings: Any, refusal: bytes, words: str
) -> None:
    with mail_server(refusal) as port:
        settings.EMAIL_BACKEND, settings.EMAIL_HOST, settings.EMAIL_PORT = SMTP, "127.0.0.1", port
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = ("u", "p") if refusal == b"AUTH" else ("", "")
        assert broken(visit, work, client) == words


@contextmanager
def mail_server(refuses: bytes) -> Iterator[int]:
    """A server on loopback that speaks just enough SMTP and refuses one word of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            caller, _ = server.accept()
            with caller, caller.makefile("rwb", buffering=0) as talk:
                talk.write(b"220 here\r\n")
                for line in talk:
                    word = line[:4].upper()
                    if word == b"EHLO":
                        talk.write(b"250-here\r\n250 AUTH PLAIN\r\n")
                    elif word == refuses:
                        talk.write(b"550 no such user\r\n")
                    else:
                        talk.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                    if word == b"QUIT":
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)
