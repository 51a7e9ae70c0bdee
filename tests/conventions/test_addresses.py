"""Every path works with and without a trailing slash, for every method (docs/api/README.md section 1)."""

import pytest

from tests.cast import Api
from tests.conventions.routes import ROUTES, filled

pytestmark = pytest.mark.django_db


def test_a_trailing_slash_changes_nothing(test_key: Api) -> None:
    for method, path, _ in ROUTES:
        plain, slashed = (test_key.request(method, filled(path) + end) for end in ("", "/"))
        assert plain.status_code == slashed.status_code, (method, path)
        assert plain.status_code not in {301, 302, 307, 308, 405}, (method, path)
        if plain.status_code >= 400:
            assert plain.json()["error"]["code"] == slashed.json()["error"]["code"]


def test_T_011_both_spellings_start_a_run_directly(test_key: Api) -> None:
    for path in ("/runs", "/runs/"):
        answer = test_key.post(path, {"task": "x"})
        assert (answer.status_code, answer.json()["status"]) == (200, "queued")
        assert "Location" not in answer
