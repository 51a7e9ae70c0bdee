"""The first line of an answer says what its status means (docs/api/aliases.md)."""

from http import HTTPStatus

import httpx
import pytest

from tests.live.web_process import Web


@pytest.mark.slow
def test_phrases_are_the_registrys(web: Web, client: httpx.Client) -> None:
    address = web()
    answers = [
        client.post(f"{address}/v1/runs", content=b'{"no": 1}'),
        client.get(f"{address}/v1/runs/none"),
        client.get(f"{address}/v1/runs"),
    ]
    assert [answer.status_code for answer in answers] == [422, 404, 200]
    assert [answer.reason_phrase for answer in answers] == [HTTPStatus(answer.status_code).phrase for answer in answers]
