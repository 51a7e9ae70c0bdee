"""What the tests of the conventions ask of every answer."""

from typing import Any

import pytest
from django.http import HttpResponse

from accounts.models import ApiKey
from tests.cast import Api, Cast


def refused(answer: HttpResponse, status: int, code: str) -> dict[str, Any]:
    """The error of an answer that has to be this refusal, in the one envelope."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"].startswith("application/json")
    error: dict[str, Any] = answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert error["code"] == code, error
    assert error["request_id"] == answer["X-Request-Id"]
    assert isinstance(error["message"], str)
    assert error["message"]
    return error


def locs(answer: HttpResponse) -> list[list[Any]]:
    """The places named by the details of a 422."""
    error = refused(answer, 422, "VALIDATION_ERROR")
    assert all(d.keys() == {"loc", "msg", "type"} and d["msg"] for d in error["details"])
    return [d["loc"] for d in error["details"]]


def only(cast: Cast, *scopes: str, test: bool = False) -> Api:
    """A key with just these scopes."""
    return cast.api(scopes=frozenset(scopes), test=test)


def row_of(api: Api) -> ApiKey:
    return ApiKey.objects.get(prefix=api.key[:16])


@pytest.fixture
def run_id(test_key: Api) -> str:
    return test_key.post("/runs", {"task": "x"}).json()["id"]
