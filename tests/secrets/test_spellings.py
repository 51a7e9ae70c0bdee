"""What is taken out of text, and what of a text that was cut in the middle of a secret."""

import pytest

from runs.secrets.redaction import REDACTED, Redaction

SECRET = "tr0ub4dor-and-3"


@pytest.mark.parametrize("shown", [SECRET.upper(), SECRET.lower(), SECRET.upper() + "!"])
def test_a_style_sheet_changes_nothing(shown: str) -> None:
    assert Redaction([SECRET]).cleared(f"You are {shown}").startswith(f"You are {REDACTED}")


@pytest.mark.parametrize("end", ["", "…", "\n[...]"])
@pytest.mark.parametrize("length", range(4, len(SECRET)))
def test_the_beginning_of_a_secret_at_the_end_of_a_text_that_was_cut_is_not_told(length: int, end: str) -> None:
    text = "x" * 190 + SECRET[:length] + end
    assert Redaction([SECRET]).cleared(text) == "x" * 190 + REDACTED + end


def test_a_short_text_is_whole_and_tells_nothing_of_what_secrets_begin_with() -> None:
    for text in ("tr0u", "a tr0ub4", "x" * 200 + " tr0ub and more"):
        assert Redaction([SECRET]).cleared(text) == text


def test_a_secret_that_begins_like_itself() -> None:
    assert Redaction(["aaaaaab"]).cleared("x" * 100 + "aaaaaaaaa") == "x" * 100 + "aaa" + REDACTED
