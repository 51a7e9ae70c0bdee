"""POST /v1/approvals: what may be asked, what is refused, and what is asked again (docs/api/approvals.md section 13)."""

import base64
import io
import json
from typing import Any

import pytest
from django.test import Client
from PIL import Image

from approvals.action_hash import action_hash
from approvals.external import services
from approvals.models import Approval, ApprovalEvent, ExternalRequest
from tests.approvals.external.asking import BODIES, MAIL, QUESTIONS, YES, ask, asker, decide, locs, read, refused
from tests.cast import Api, Cast

pytestmark = pytest.mark.django_db


def picture(colour: str = "red", form: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", (40, 20), colour).save(file, form)
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("kind", BODIES)
def test_T_184_a_program_asks_a_person_decides_and_the_program_reads_it(live: Api, cast: Cast, kind: str) -> None:
    program = asker(cast)
    row = ask(program, kind, message="It is his birthday.")
    assert (row["status"], row["run_id"], row["root_run_id"], row["step_index"], row["seq"]) == ("pending", *[None] * 4)
    assert row["subject"] == {"type": "external", "source": {"name": "a key", "url": None, "ref": None}}
    assert (row["agent_message"], row["on_reject"], row["on_timeout"]) == ("It is his birthday.", "none", "expire")
    assert [each["id"] for each in live.get("/approvals").json()["data"]] == [row["id"]]
    result = decide(live, row).json()
    assert (result["run"], result["resumed"]) == (None, True)
    decided = read(program, row)
    assert decided["decision"]["verdict"] == YES[kind]["verdict"]
    assert decided["status"] == ("approved" if YES[kind]["verdict"] == "approve" else "answered")
    if kind == "question":
        assert decided["decision"]["answers"] == {"q1": {"value": "Red", "custom": False}}
    if kind == "input":
        assert decided["decision"]["values"] == {"n": 4}
    assert [event.type for event in ApprovalEvent.objects.order_by("seq")] == ["requested", "decided"]


def test_what_is_asked_about_an_action_is_bound_to_it(live: Api, cast: Cast) -> None:
    row = ask(asker(cast))
    assert row["action_hash"] == action_hash("", "mail.send", MAIL["params"])  # type: ignore[arg-type]
    assert row["action"] == {
        "name": "mail.send", "params": MAIL["params"], "host": "shop.test", "url": MAIL["url"], "risk": "write",
        "class": "irreversible", "read_only": False, "call_id": None, "machine_id": None,
    }  # fmt: skip
    assert refused(decide(live, row, verdict="approve", action_hash="x")) == (409, "ACTION_CHANGED")
    assert decide(live, row, verdict="approve", action_hash=row["action_hash"]).status_code == 200


def test_a_risk_is_raised_and_never_lowered(cast: Cast) -> None:
    program = asker(cast)
    for risk, counts in {"read": "write", "write": "write", "spend": "spend", "destroy": "destroy"}.items():
        assert ask(program, action=MAIL | {"risk": risk})["action"]["risk"] == counts


def test_an_edit_keeps_the_name_and_reaches_the_program(live: Api, cast: Cast) -> None:
    program = asker(cast)
    row = ask(program)
    other = {"verdict": "approve", "edited_action": {"name": "mail.read", "params": {}}}
    assert locs(decide(live, row, **other)) == [["body", "edited_action", "name"]]
    large = {"name": "mail.send", "params": {"to": "x" * 66_000}}
    assert locs(decide(live, row, verdict="approve", edited_action=large)) == [["body", "edited_action", "params"]]
    edit = {"name": "mail.send", "params": {"to": "b@shop.test"}}
    assert decide(live, row, verdict="approve", edited_action=edit).status_code == 200
    assert read(program, row)["edited_action"] == edit
    assert read(program, row)["decision"]["action_after"]["params"] == {"to": "b@shop.test"}


WRONG: list[tuple[str, dict[str, Any], list[str | int]]] = [
    ("tool", {"action": None}, ["action"]),
    ("question", {"questions": None}, ["questions"]),
    ("input", {"input_schema": None}, ["input_schema"]),
    ("approval", {"questions": QUESTIONS}, ["questions"]),
    ("approval", {"on_timeout": "default_answer"}, ["on_timeout"]),
    ("approval", {"title": "  "}, ["title"]),
    ("approval", {"title": "x" * 201}, ["title"]),
    ("approval", {"message": "x" * 16_001}, ["message"]),
    ("approval", {"kind": "takeover"}, ["kind"]),
    ("approval", {"action": {"name": "send mail"}}, ["action", "name"]),
    ("approval", {"action": {"name": "*"}}, ["action", "name"]),
    ("approval", {"action": MAIL | {"params": {"x": "y" * 66_000}}}, ["action"]),
    ("approval", {"action": MAIL | {"host": "other.test"}}, ["action"]),
    ("approval", {"action": MAIL | {"host": "shop test", "url": None}}, ["action", "host"]),
    ("approval", {"action": MAIL | {"url": "javascript:alert(1)"}}, ["action", "url"]),
    ("approval", {"action": MAIL | {"risk": "none"}}, ["action", "risk"]),
    ("question", {"questions": [*QUESTIONS, {"id": "q1", "question": "?"}]}, ["questions"]),
    ("question", {"questions": [{"question": "PIN?", "secret": True}]}, ["questions", 0]),
    ("question", {"questions": [{"question": "?", "allow_custom": False}]}, ["questions", 0]),
    ("question", {"questions": [{"question": "?", "options": [{"label": "a"}] * 2}]}, ["questions", 0]),
    ("input", {"input_schema": {"type": "nothing"}}, ["input_schema"]),
    ("input", {"input_schema": {"properties": {"p": {"format": "password"}}}}, ["input_schema"]),
    ("approval", {"evidence": {"links": [{"label": "a", "url": "javascript:alert(1)"}]}}, ["evidence", "links", 0, "url"]),
    ("approval", {"evidence": {"links": [{"label": "a", "url": "https://a.test/"}] * 11}}, ["evidence", "links"]),
    ("approval", {"evidence": {"pictures": ["not Base64"]}}, ["evidence", "pictures", 0]),
    ("approval", {"evidence": {"pictures": ["aGVsbG8="]}}, ["evidence", "pictures", 0]),
    ("approval", {"evidence": {"pictures": ["aGVsbG8="] * 5}}, ["evidence", "pictures"]),
    ("approval", {"source": {"name": "", "url": "ftp://a.test"}}, ["source", "name"]),
    ("approval", {"quorum": [{"group": "no such group", "count": 1}]}, ["quorum", 0, "group"]),
    ("approval", {"assignee": "usr_none"}, ["assignee"]),
    ("approval", {"webhook_url": "https://10.0.0.1/"}, ["webhook_url"]),
    ("approval", {"timeout_seconds": 2_592_001}, ["timeout_seconds"]),
    ("approval", {"external_id": ""}, ["external_id"]),
    ("approval", {"metadata": {"x": "y" * 17_000}}, ["metadata"]),
    ("approval", {"no_such_field": 1}, ["no_such_field"]),
    ("approval", {"title": "\0"}, ["title"]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "at"), WRONG)
def test_what_cannot_be_asked_is_refused_at_its_place(
    cast: Cast, kind: str, fields: dict[str, Any], at: list[str | int]
) -> None:
    assert ["body", *at] in locs(asker(cast).post("/approvals", BODIES[kind] | fields))
    assert not ExternalRequest.objects.exists()


def test_all_that_is_wrong_is_said_at_once(cast: Cast) -> None:
    answer = asker(cast).post("/approvals", {"kind": "tool", "questions": QUESTIONS, "on_timeout": "default_answer"})
    assert sorted(loc[1] for loc in locs(answer)) == ["action", "on_timeout", "questions", "title"]
    for kind in ("plan", ["tool"], None):
        assert locs(asker(cast).post("/approvals", {"kind": kind, "title": "x"})) == [["body", "kind"]]


def test_pictures_and_links_are_shown_with_the_request(cast: Cast, live: Api) -> None:
    program = asker(cast)
    links = [{"label": "The order", "url": "https://shop.test/1"}]
    row = ask(program, evidence={"pictures": [picture(), picture("blue", "JPEG")], "links": links})
    urls = [f"/v1/approvals/{row['id']}/pictures/{index}" for index in (1, 2)]
    assert row["evidence"]["links"] == links
    assert row["evidence"]["pictures"] == [
        {"index": 1, "url": urls[0], "width": 40, "height": 20},
        {"index": 2, "url": urls[1], "width": 40, "height": 20},
    ]
    for api in (program, live):
        answers = [api.get(url.removeprefix("/v1")) for url in urls]
        assert [each["Content-Type"] for each in answers] == ["image/png", "image/jpeg"]
        assert answers[0].content.startswith(b"\x89PNG")
    assert [refused(live.get(f"/approvals/{row['id']}/pictures/{index}")) for index in ("0", "3", "x", "9" * 99)] == [
        (404, "NOT_FOUND")
    ] * 4


def multipart(parts: list[tuple[str, str, bytes]]) -> tuple[bytes, str]:
    """(the body, its type) of parts of (name, file name, content)."""
    body = b""
    for name, file_name, content in parts:
        named = f'; filename="{file_name}"' if file_name else ""
        body += f'--cut\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"
    return body + b"--cut--\r\n", "multipart/form-data; boundary=cut"


def send_parts(api: Api, *parts: tuple[str, str, bytes], **headers: str) -> Any:
    body, kind = multipart(list(parts))
    sent = {"X-API-Key": api.key} | headers
    return api.client.generic("POST", "/v1/approvals", body, content_type=kind, headers=sent)


def test_pictures_may_come_as_files(cast: Cast) -> None:
    program = asker(cast)
    request = ("request", "", json.dumps(BODIES["tool"]).encode())
    png = ("picture", "a.png", base64.b64decode(picture()))
    answer = send_parts(program, request, png, png, **{"Idempotency-Key": "k"})
    assert (answer.status_code, len(answer.json()["evidence"]["pictures"])) == (201, 2)
    again = send_parts(program, request, png, png, **{"Idempotency-Key": "k"})
    assert (again["Idempotency-Replayed"], again.content) == ("true", answer.content)
    assert refused(send_parts(program, request, png, **{"Idempotency-Key": "k"})) == (422, "IDEMPOTENCY_KEY_REUSED")
    both = ("request", "", json.dumps(BODIES["tool"] | {"evidence": {"pictures": [picture()]}}).encode())
    assert locs(send_parts(program, both, png)) == [["body", "evidence", "pictures"]]
    assert locs(send_parts(program, request, *[png] * 5)) == [["body", "evidence", "pictures"]]
    assert locs(send_parts(program, request, ("picture", "a.png", b"no picture"))) == [
        ["body", "evidence", "pictures", 0]
    ]
    assert Approval.objects.count() == 1


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [("request", "", b"{")],
        [("request", "", b'{"kind": "approval", "title": "\xff"}')],
        [("other", "", b"{}")],
        [("request", "", b"{}"), ("request", "", b"{}")],
        [("picture", "", b"text")],
        [("request", "a.json", b"{}")],
    ],
)
def test_broken_parts_are_refused(cast: Cast, parts: list[tuple[str, str, bytes]]) -> None:
    answer = send_parts(asker(cast), *parts)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "VALIDATION_ERROR")
    for body in (b"--cut", b"--other--", b"--cut\r\nContent-Disposition: form-data\r\n", b"--" * 5000):
        sent = {"X-API-Key": asker(cast).key}
        for kind in ("multipart/form-data; boundary=cut", "multipart/form-data", "multipart/form-data; boundary=\x00"):
            broken = Client().generic("POST", "/v1/approvals", body, content_type=kind, headers=sent)
            assert broken.status_code == 422, (body, kind, broken.content)
    assert not Approval.objects.exists()


def test_json_is_json_whatever_its_type_says(cast: Cast) -> None:
    sent = {"X-API-Key": asker(cast).key}
    body = json.dumps(BODIES["approval"]).encode()
    for kind in ("multipart/form-data; boundary=cut", "text/plain", "application/x-www-form-urlencoded"):
        assert Client().generic("POST", "/v1/approvals", body, content_type=kind, headers=sent).status_code == 201


# --- one's own


def test_a_key_that_may_only_ask_reads_its_own_and_nothing_else(cast: Cast, live: Api) -> None:
    mine, other = asker(cast), asker(cast)
    row = ask(mine)
    assert [each["id"] for each in mine.get("/approvals").json()["data"]] == [row["id"]]
    assert other.get("/approvals").json()["data"] == []
    for call in (other.get(f"/approvals/{row['id']}"), other.post(f"/approvals/{row['id']}/cancel"),
                 other.put(f"/approvals/{row['id']}/result", {"outcome": "executed"})):  # fmt: skip
        assert refused(call) == (404, "APPROVAL_NOT_FOUND")
    assert refused(mine.post(f"/approvals/{row['id']}/comment", {"text": "?"})) == (403, "INSUFFICIENT_SCOPE")


def test_worlds_and_teams_are_apart(cast: Cast, live: Api, test_key: Api, strangers: Cast) -> None:
    row = ask(asker(cast, test=True))
    assert row["test"] is True
    for api in (live, strangers.api(), strangers.api(test=True)):
        assert refused(api.get(f"/approvals/{row['id']}")) == (404, "APPROVAL_NOT_FOUND")
        assert refused(decide(api, row)) == (404, "APPROVAL_NOT_FOUND")
    assert decide(test_key, row).status_code == 200


# --- the same again


@pytest.mark.parametrize("kind", BODIES)
def test_the_same_external_id_with_the_same_content_is_the_same_request(cast: Cast, live: Api, kind: str) -> None:
    program = asker(cast)
    row = ask(program, kind, external_id="a")
    again = program.post("/approvals", BODIES[kind] | {"external_id": "a", "priority": 9, "metadata": {"try": 2}})
    assert (again.status_code, again.json()["id"]) == (200, row["id"])
    decide(live, row)
    after = program.post("/approvals", BODIES[kind] | {"external_id": "a"})
    assert (after.status_code, after.json()["decision"]["verdict"]) == (200, YES[kind]["verdict"])
    assert Approval.objects.count() == 1


def test_without_an_external_id_each_call_is_a_request_of_its_own(cast: Cast) -> None:
    program = asker(cast)
    assert ask(program)["id"] != ask(program)["id"]


def test_an_external_id_belongs_to_its_key_and_world(cast: Cast) -> None:
    programs = asker(cast), asker(cast), asker(cast, test=True)
    assert len({ask(program, external_id="a")["id"] for program in programs}) == 3


def test_an_idempotency_key_replays_the_answer_with_its_secret(cast: Cast) -> None:
    program = asker(cast)
    body = BODIES["tool"] | {"webhook_url": "https://93.184.216.34/x"}
    first = program.post("/approvals", body, Idempotency_Key="k")
    again = program.post("/approvals", body, Idempotency_Key="k")
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content)
    assert first.json()["webhook_secret"].startswith("whsec_")
    assert (first["Cache-Control"], again["Idempotency-Replayed"]) == ("no-store", "true")
    assert Approval.objects.count() == 1


def test_another_action_takes_the_place_of_the_open_one(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program, external_id="a")
    changed = program.post(
        "/approvals", BODIES["tool"] | {"external_id": "a", "action": MAIL | {"params": {"to": "z"}}}
    )
    new = changed.json()
    assert (changed.status_code, new["previous_approval_id"], new["status"]) == (201, row["id"], "pending")
    before = read(live, row)
    assert (before["status"], before["void_reason"], before["replaced_by"]) == ("void", "superseded", new["id"])
    assert refused(decide(live, row)) == (409, "APPROVAL_VOID")
    assert decide(live, new).status_code == 200
    types = ApprovalEvent.objects.order_by("approval__created_at", "seq").values_list("type", flat=True)
    assert list(types) == ["requested", "void", "requested", "decided"]


def test_an_approval_that_was_not_carried_out_does_not_count_for_another_action(cast: Cast, live: Api) -> None:
    program = asker(cast)
    row = ask(program, external_id="a")
    decide(live, row)
    new = ask(program, external_id="a", title="Send it twice")
    before = read(live, row)
    assert (before["status"], before["decision"]["receipt"]["outcome"]) == ("void", "not_executed")
    assert (new["status"], new["previous_approval_id"]) == ("pending", row["id"])
    assert refused(program.put(f"/approvals/{row['id']}/result", {"outcome": "executed"})) == (409, "INVALID_STATE")


def test_what_was_carried_out_rejected_or_expired_stays_as_it_is(cast: Cast, live: Api) -> None:
    program = asker(cast)
    done, declined = ask(program, external_id="done"), ask(program, external_id="declined")
    decide(live, done)
    program.put(f"/approvals/{done['id']}/result", {"outcome": "executed"})
    decide(live, declined, verdict="reject")
    for row, status in ((done, "approved"), (declined, "rejected")):
        new = ask(program, external_id=row["external_id"], title="Once more")
        assert (new["status"], new["previous_approval_id"]) == ("pending", row["id"])
        assert read(live, row)["status"] == status


def test_who_has_to_agree_is_part_of_what_is_asked(cast: Cast) -> None:
    program = asker(cast)
    row = ask(program, external_id="a")
    assert ask(program, external_id="a", four_eyes=True)["previous_approval_id"] == row["id"]


def test_a_clock_that_is_set_back_changes_no_order(cast: Cast) -> None:
    program = asker(cast)
    first, second = ask(program, external_id="a"), ask(program, external_id="a", title="Another")
    Approval.objects.filter(id=second["id"]).update(created_at="2020-01-01T00:00Z")
    assert ask(program, external_id="a", title="Another")["id"] == second["id"]
    third = ask(program, external_id="a", title="A third")
    assert third["previous_approval_id"] == second["id"]
    assert [read(program, row)["replaced_by"] for row in (first, second)] == [second["id"], third["id"]]


# --- how many


def test_a_key_has_a_limited_number_of_open_requests(cast: Cast, monkeypatch: pytest.MonkeyPatch, live: Api) -> None:
    monkeypatch.setattr(services, "MOST_OPEN", 2)
    program, other = asker(cast), asker(cast)
    first = ask(program, external_id="a")
    ask(program)
    answer = program.post("/approvals", BODIES["tool"])
    assert refused(answer) == (429, "TOO_MANY_REQUESTS_OPEN")
    assert answer["Retry-After"] == str(answer.json()["error"]["retry_after"])
    assert ask(program, external_id="a")["id"] == first["id"]
    ask(other)
    decide(live, first)
    assert ask(program)["status"] == "pending"
