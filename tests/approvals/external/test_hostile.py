"""Whatever a program sends to POST /v1/approvals: it is asked or refused, as the document says, and people see it as text."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from approvals.models import Approval
from tests.approvals.external.asking import BODIES, asker
from tests.approvals.external.test_asking import multipart, picture
from tests.browsing import Browser
from tests.cast import Api, Cast
from tests.chance import TRIED
from tests.doors import without_trace

pytestmark = pytest.mark.django_db
# Each example leaves nothing behind, so that the next may have the same cast.
ROLLED_BACK = settings(TRIED, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
EVIL = "<script>alert(1)</script>\" onload=x 'q' {{ secret }} \u202egnp.exe\u202c \u200bend"
ODD = (
    "", " ", "\u00a0", "\0", "\ud800", "\u202e", EVIL, "a\nb\r\tc", "x" * 201, "ﷺ" * 200, "é\u0301" * 50, "-1", "null", "%00",
    "../../etc/passwd", "javascript:alert(1)", "data:text/html,<b>", "https://a\u202e.test/", "https://[::1", "http://a:99999/",
    "https://u:p@shop.test/", "https://shop.test\\@evil.test/", "//shop.test", "HTTPS://SHOP.TEST", "https://xn--80ak6aa92e.com/",
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**400, -(2**63) - 1, 0.1, 1e308, -0.0, 5.0]),
    st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=40), st.sampled_from(ODD),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
options = st.fixed_dictionaries({"label": scalars}, optional={"description": scalars, "recommended": scalars})
questions = st.fixed_dictionaries(
    {"question": st.text(min_size=1, max_size=30)},
    optional={
        "id": scalars,
        "options": st.lists(options, max_size=3),
        "multi_select": st.booleans(),
        "allow_custom": st.booleans(),
    },
)
addresses = st.sampled_from([*ODD, "https://shop.test/", "https://shop.test:8443/a?b#c"])
# Near what is right, so that much of it gets through the form of the fields.
NEAR: dict[str, st.SearchStrategy[Any]] = {
    "kind": st.sampled_from([*BODIES, "plan", "budget", "takeover", "Tool", ""]),
    "title": st.text(min_size=1, max_size=200),
    "message": st.text(max_size=200),
    "action": st.fixed_dictionaries(
        {"name": st.sampled_from(["mail.send", "click", "*", "a..b", "a.", "x" * 129, "é", ""]), "params": anything},
        optional={"host": scalars, "url": addresses, "risk": st.sampled_from(["read", "spend", "destroy", "", None])},
    ),
    "questions": st.lists(questions, max_size=3),
    "input_schema": st.dictionaries(
        st.sampled_from(["type", "properties", "required", "pattern", "$ref", "enum", "default", "format", "anyOf"]), anything, max_size=4
    ),
    "evidence": st.fixed_dictionaries(
        {}, optional={"links": st.lists(st.fixed_dictionaries({"label": scalars, "url": addresses}), max_size=3), "pictures": anything}
    ),
    "source": st.fixed_dictionaries({"name": scalars}, optional={"url": addresses, "ref": scalars}),
    "external_id": st.sampled_from(["a", "b", EVIL, "x" * 200]),
    "end_user": scalars,
    "priority": st.integers(-1, 10),
    "assignee": st.sampled_from(["usr_none", "grp_none", "", "me"]),
    "quorum": st.lists(
        st.fixed_dictionaries({"group": st.sampled_from(["anyone", "none", ""]), "count": st.integers(0, 21)}), max_size=3
    ),
    "four_eyes": st.booleans(),
    "timeout_seconds": st.sampled_from([0, 1, 2_592_000, 2_592_001, 2**63]),
    "on_timeout": st.sampled_from(["reject", "default_answer", "expire", "cancel", "fail"]),
    "webhook_url": st.sampled_from(["https://127.0.0.1/", "http://203.0.113.9/", "ftp://a.test", "https://[::1]/", "", "https://"]),
    "metadata": anything,
}  # fmt: skip
HIDING = set("\u202e\u202c\u200b\0")
FIELDS = re.compile(r"<textarea.*?</textarea>|<[^>]*>", re.DOTALL)  # a field gives back exactly what was asked
PAGES = ("/?open={id}", "/approvals/{id}")


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A body that is right, with some of its fields changed to what is near or to anything."""
    body = dict(draw(st.sampled_from(list(BODIES.values()))))
    for name in draw(st.lists(st.sampled_from(list(NEAR)), max_size=5, unique=True)):
        body[name] = draw(st.one_of(NEAR[name], NEAR[name], NEAR[name], anything))
    return body | draw(
        st.dictionaries(st.text(max_size=8), scalars, max_size=1) if draw(st.integers(0, 9)) == 0 else st.just({})
    )


def seen(browser: Browser, approval_id: str) -> Iterator[tuple[str, int, str]]:
    """What a person is shown of the request: address, status, text."""
    for path in PAGES:
        answer = browser.get(path.format(id=approval_id))
        yield path, answer.status_code, answer.content.decode()


@ROLLED_BACK
@given(body=bodies())
@example(
    body=BODIES["tool"] | {"title": EVIL, "message": EVIL, "source": {"name": EVIL, "ref": EVIL}, "end_user": EVIL}
)
@example(body=BODIES["tool"] | {"action": {"name": "mail.send", "params": {EVIL: [EVIL, 10**400, None, {"": ""}]}}})
@example(
    body=BODIES["question"]
    | {"questions": [{"question": EVIL, "header": EVIL, "options": [{"label": EVIL, "description": EVIL}]}]}
)
@example(
    body=BODIES["approval"]
    | {"evidence": {"links": [{"label": EVIL, "url": "https://shop.test/"}]}, "external_id": EVIL}
)
@example(
    body=BODIES["input"]
    | {"input_schema": {"type": "object", "title": EVIL, "properties": {EVIL: {"type": "string", "title": EVIL}}}}
)
def test_any_body_is_asked_or_refused_and_shown_as_text(cast: Cast, body: dict[str, Any]) -> None:
    program, browser = asker(cast), cast.browser("ana")
    with without_trace(program.client):
        answer = program.post("/approvals", json.dumps(body).encode("utf-8", "surrogatepass"))
        assert answer.status_code in (200, 201, 413, 422), answer.content
        rows = Approval.objects.count()
        assert rows == (1 if answer.status_code == 201 else 0)
        if rows:
            shown = answer.json()
            again = program.get(f"/approvals/{shown['id']}").json()
            assert {name: again[name] for name in again} == {name: shown[name] for name in again}
            for path, status, text in seen(browser, shown["id"]):
                assert status == 200, (path, text[:2000])
                assert "<script>alert" not in text, path
                assert not HIDING & set(FIELDS.sub("", text)), path


@ROLLED_BACK
@given(
    data=st.binary(max_size=200)
    | st.text(max_size=100).map(str.encode)
    | anything.map(lambda value: json.dumps(value).encode())
)
@example(data=b'{"kind":"approval","title":"x","title":"y"}')
@example(data=b"[" * 100_000)
@example(data=b'{"kind":"approval","title":"x","metadata":' + b'{"a":' * 200 + b"1" + b"}" * 201)
@example(data=b'{"kind":"approval","title":"x","priority":' + b"9" * 5000 + b"}")
@example(data=b'{"kind":"approval","title":"x","priority":1e999}')
@example(data=b'\xef\xbb\xbf{"kind":"approval","title":"x"}')
def test_any_bytes_are_asked_or_refused(cast: Cast, data: bytes) -> None:
    program = asker(cast)
    with without_trace(program.client):
        assert program.post("/approvals", data).status_code in (201, 413, 422)


ASKED = json.dumps(BODIES["tool"]).encode()
WHOLE = base64.b64decode(picture())
DAMAGED = st.builds(
    lambda at, byte: WHOLE[:at] + byte + WHOLE[at + 1 :],
    st.integers(0, len(WHOLE) - 1),
    st.binary(min_size=1, max_size=1),
)
parts = st.tuples(
    st.sampled_from(["request", "picture", "", "metadata", 'x"; filename="y', "\u202e"]),
    st.sampled_from(["", "a.png", "../../a", "a\u202egnp.exe", "x" * 300, 'a"b', "a\r\nX: y"]),
    st.sampled_from([ASKED, b"{}", b"", WHOLE, b"GIF89a", b"--cut--\r\n"]) | DAMAGED | st.binary(max_size=60),
)


@ROLLED_BACK
@given(sent=st.lists(parts, max_size=4), cut=st.integers(0, 400), right=st.booleans())
def test_any_parts_are_asked_or_refused(
    cast: Cast, tmp_path: Path, settings: Any, sent: list[tuple[str, str, bytes]], cut: int, right: bool
) -> None:
    """Whole bodies, and those that break off."""
    settings.STORAGES = settings.STORAGES | {
        "default": settings.STORAGES["default"] | {"OPTIONS": {"location": tmp_path}}
    }
    body, kind = multipart([("request", "", ASKED), *sent] if right else sent)
    body = body[: len(body) - cut] if cut < 40 else body
    with without_trace(cast.browser("ana")):
        program = asker(cast)
        answer = program.client.generic(
            "POST", "/v1/approvals", body, content_type=kind, headers={"X-API-Key": program.key}
        )
        assert answer.status_code in (201, 422), answer.content
        if answer.status_code == 422:
            kinds = {detail["type"] for detail in answer.json()["error"]["details"]}
            assert kinds <= {"missing", "type_error", "value_error", "extra_forbidden", "json_invalid"}


@pytest.mark.parametrize("path", ["/cancel", "/result"])
@ROLLED_BACK
@given(
    body=st.dictionaries(
        st.sampled_from(["reason", "outcome", "text", "x"]),
        anything | st.sampled_from(["executed", "failed"]),
        max_size=3,
    )
)
def test_any_body_afterwards_is_taken_or_refused(cast: Cast, path: str, body: dict[str, Any]) -> None:
    program = asker(cast)
    with without_trace(program.client):
        asked = program.post("/approvals", BODIES["approval"]).json()["id"]
        answer = program.request("POST" if path == "/cancel" else "PUT", f"/approvals/{asked}{path}", body)
        assert answer.status_code in (200, 409, 422), answer.content


@pytest.mark.parametrize("name", ["X-API-Key", "Idempotency-Key", "Content-Type", "X-Team-Mode", "Accept"])
@pytest.mark.parametrize(
    "value", ["", "é", "x" * 5000, "a,b", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_any_header_is_taken_or_refused(cast: Cast, name: str, value: str) -> None:
    program = asker(cast)
    headers = {"X-API-Key": program.key, name: value}
    answer = program.client.generic(
        "POST", "/v1/approvals", json.dumps(BODIES["approval"]), content_type="application/json", headers=headers
    )
    assert answer.status_code in (201, 401, 422), answer.content
    assert Approval.objects.count() == (1 if answer.status_code == 201 else 0)


def test_an_id_of_any_form_is_one_that_is_not_there(cast: Cast, live: Api) -> None:
    program = asker(cast)
    for bad in ("apr_none", "é", "%00", "a" * 5000, "..%2f..", "'; DROP TABLE"):
        for method, path, body in (
            ("GET", "", None),
            ("POST", "/cancel", {}),
            ("PUT", "/result", {"outcome": "executed"}),
        ):
            answer = program.request(method, f"/approvals/{bad}{path}", body)
            assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error"), (bad, path)
