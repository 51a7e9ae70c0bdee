"""What a refusal leaves to be done after its transaction (web.errors.following_up)."""

import pytest

from web.errors import NotFound, following_up


def _refused(work: list[str]) -> None:
    refusal = NotFound()
    refusal.afterwards = lambda: work.append("done")
    raise refusal


def test_it_is_done_and_the_refusal_goes_on() -> None:
    work: list[str] = []
    with pytest.raises(NotFound), following_up():
        _refused(work)
    assert work == ["done"]


def test_it_is_done_once_however_many_doors_it_passes() -> None:
    work: list[str] = []
    with pytest.raises(NotFound), following_up(), following_up():
        _refused(work)
    assert work == ["done"]
