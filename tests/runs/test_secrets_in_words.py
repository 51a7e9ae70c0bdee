"""What an agent that thinks says to people, when it has read a secret of its run all the same.

Fields and screens are masked; a model may read a value that is drawn within a page.
"""

import pytest

from database.sealing import seal
from runs.agents.base import Ask, Finish, Verdict
from runs.models import Run
from tests.cast import Api
from tests.runs.driving import begin, drive_all, request_of, show
from tests.runs.thinker import DONE, Play, click, decide

pytestmark = pytest.mark.django_db


def test_T_187_what_an_agent_says_to_people_holds_no_secret_of_the_run(test_key: Api, play: Play) -> None:
    question = {
        "id": "q1", "header": "Is it s3cret?", "question": "Shall I use s3cret?", "multi_select": False, "allow_custom": True,
        "secret": False, "options": [{"label": "Use s3cret", "description": "s3cret it is", "recommended": False}],
    }  # fmt: skip
    schema = {"type": "object", "properties": {"label": {"type": "string", "title": "s3cret?", "default": "s3cret"}}}
    thinker = play(
        [Ask("question", "It says s3cret.", [question])], [Ask("input", "", input_schema=schema)], [Finish(True, "It was s3cret.")]
    )  # fmt: skip
    thinker.verdicts = [Verdict(False, "fail", "The page says s3cret.")]
    run = begin(test_key, cua_version="v4", human_in_the_loop=True, permission_mode="plan")
    Run.objects.filter(id=run["id"]).update(secrets=seal({"pin": "s3cret", "kind": "label"}))
    drive_all()
    asked = request_of(test_key, run)
    assert asked["questions"][0]["options"][0]["label"] == "Use [redacted]"
    decide(test_key, run, "answer", answers={"q1": "Use [redacted]"})
    assert request_of(test_key, run)["input_schema"]["properties"]["label"] == {
        "type": "string", "title": "[redacted]?", "default": "[redacted]"
    }  # fmt: skip
    decide(test_key, run, "submit", values={"label": "x"})
    ended = show(test_key, run["id"])
    assert ended["result"]["summary"] == "The page says [redacted]."
    for path in (f"/runs/{run['id']}", f"/runs/{run['id']}/events?format=json&limit=200", "/approvals?status=all"):
        assert "s3cret" not in test_key.get(path).content.decode()


def test_T_187_a_plan_holds_no_secret_of_the_run(test_key: Api, play: Play) -> None:
    play([click(1)], [DONE])
    run = begin(test_key, human_in_the_loop=True, permission_mode="plan")
    Run.objects.filter(id=run["id"]).update(secrets=seal({"pin": "plan 1"}))
    drive_all()
    assert request_of(test_key, run)["plan"]["text"] == "[redacted]"
