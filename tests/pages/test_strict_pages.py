"""The Content-Security-Policy, and pages that need none of what it forbids."""

from collections.abc import Callable

import pytest
from django.test import Client

from runs.models import Run
from tests.cast import Api, Cast
from tests.pages.conftest import Visit, request_of, text
from tests.pages.reading import read

pytestmark = pytest.mark.django_db


def _all_pages(visit: Visit, begin: Callable[..., Run]) -> list[str]:
    waiting = begin("question [question:rec]")
    begin("secret [secret]")
    begin("input [input]")
    tool = begin("pay [spend]", human_in_the_loop=True, permission_mode="approval")
    ended = begin("ends")
    ids = [f"/runs/{r.id}" for r in (waiting, tool, ended)] + [
        f"/approvals/{request_of(r).id}" for r in (waiting, tool)
    ]
    fixed = [
        "/",
        "/runs",
        "/runs/new",
        f"/runs/{waiting.id}/cancel",
        "/machines",
        "/machines/new",
        "/ledger",
        "/keys",
        "/keys/new",
    ]
    return fixed + ids


def test_no_page_holds_inline_script_or_style_or_loads_from_elsewhere(visit: Visit, begin: Callable[..., Run]) -> None:
    olga = visit("olga")
    for path in _all_pages(visit, begin):
        answer = olga.get(path)
        page = read(text(answer))
        assert answer.status_code == 200, path
        assert page.inline == [], path
        assert page.foreign == [], path


def test_the_policy_is_strict_on_every_answer(visit: Visit, client: Client) -> None:
    for answer in (visit("bob").get("/"), client.get("/sign-in"), visit("bob").get("/nothing")):
        policy = answer["Content-Security-Policy"]
        assert "script-src 'self'" in policy
        assert "style-src 'self'" in policy
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy


def test_the_doors_before_signing_in_are_strict_too(client: Client, cast: Cast) -> None:
    for path in ("/sign-in", "/nothing/here"):
        page = read(text(client.get(path)))
        assert page.inline == []
        assert page.foreign == []


def test_htmx_gets_only_the_live_part_with_the_new_title_and_count(visit: Visit, begin: Callable[..., Run]) -> None:
    begin("x [pause]")
    part = text(visit("ana").get("/", HX_Request="true"))
    assert "<html" not in part
    assert "<title>(1) Queue · Countersign</title>" in part
    assert 'hx-swap-oob="true"' in part
    assert part.count('id="live"') == 1


def test_a_form_without_its_token_says_what_to_do(cast: Cast) -> None:
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post("/sign-in", {"username": "x", "password": "y"})
    assert answer.status_code == 403
    assert "The form is too old" in text(answer)


def test_data_loads_nothing_and_stands_in_no_frame(live: Api) -> None:
    for path in ("/runs", "/nothing"):
        assert live.get(path)["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
