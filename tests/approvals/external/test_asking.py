"""POST /v1/approvals: a program asks without a run (docs/api/approvals.md section 13)."""

from typing import Any

import pytest

from approvals.action_hash import action_hash
from approvals.models import Approval, ApprovalEvent, Decision
from tests.cast import Api, Cast

pytestmark = pytest.mark.django_db
MAIL = {"name": "mail.send", "params": {"to": "a@shop.test"}, "url": "https://shop.test/send"}


def ask(api: Api, **fields: Any) -> Any:
    body = {"kind": "tool", "title": "Send the mail", "action": MAIL} | fields
    answer = api.post("/approvals", {name: value for name, value in body.items() if value is not None})
    assert answer.status_code in (200, 201), answer.content
    return answer.json()


def test_T_184_a_program_asks_a_person_decides_and_the_program_reads_it(live: Api, cast: Cast) -> None:
    asker = cast.api(scopes=frozenset({"approvals:request"}))
    row = ask(asker, message="It is his birthday.")
    assert (row["status"], row["run_id"], row["step_index"]) == ("pending", None, None)
    assert row["subject"] == {"type": "external", "source": {"name": "a key", "url": None, "ref": None}}
    assert row["action_hash"] == action_hash("", "mail.send", MAIL["params"])
    assert (row["action"]["host"], row["action"]["risk"], row["action"]["read_only"]) == ("shop.test", "write", False)
    assert row["id"] in [each["id"] for each in live.get("/approvals").json()["data"]]
    result = live.post(
        f"/approvals/{row['id']}/decide", {"verdict": "approve", "action_hash": row["action_hash"]}
    ).json()
    assert (result["run"], result["resumed"], result["approval"]["status"]) == (None, True, "approved")
    read = asker.get(f"/approvals/{row['id']}").json()
    assert (read["status"], read["decision"]["verdict"]) == ("approved", "approve")
    done = asker.put(f"/approvals/{row['id']}/result", {"outcome": "executed", "text": "Sent."}).json()
    assert done["decision"]["receipt"]["outcome"] == "executed"
    assert [event.type for event in ApprovalEvent.objects.order_by("seq")] == ["requested", "decided", "result"]
    assert Approval.objects.get().asker_id
    assert Decision.objects.count() == 1
