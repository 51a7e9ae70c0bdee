"""Handles in text, secrets taken out of text, and what stands on cards (docs/api/runs.md section 11)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machines.drivers.base import Action, Target
from machines.drivers.terminal import screen_cells
from runs.agents.action_summary import action_title, edited_act
from runs.agents.base import Act, Bound
from runs.agents.playbook.language.bound import Reference, resolved
from runs.agents.playbook.language.plan import parse
from runs.secrets.handles import handles_in, pieces_of
from runs.secrets.redaction import Redaction, spellings

H = "{{secret:shop password}}"
SECRET = ("secret", "shop password")


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        (H, (SECRET,)),
        ("{{ secret : shop password }}", (SECRET,)),
        (f"a {H}\n", (("text", "a "), SECRET, ("text", "\n"))),
        (f"{H}{H}", (SECRET, SECRET)),
        ("{{secret:nobody knows}}", (("secret", "nobody knows"),)),
        ("{{secret:}}", None), ("{{secret: }}", None), ("{secret:x}", None), ("{{inputs.x}}", None), ("", None), ("x", None),
        ("{{secret:a\nb}}", None), ("{{secret:{{secret:x}}}}", (("text", "{{secret:"), ("secret", "x"), ("text", "}}"))),
    ],
)  # fmt: skip
def test_a_text_is_cut_at_its_handles(text: str, pieces: object) -> None:
    assert pieces_of(text) == pieces


def test_a_name_with_braces_is_found_where_it_is_known() -> None:
    assert pieces_of("{{secret:a}b}}!", ["a}b"]) == (("secret", "a}b"), ("text", "!"))


@given(st.lists(st.sampled_from(["{{secret:", "}}", "{{", "secret", ":", " ", "a", "é", "\n", H])).map("".join))
def test_pieces_are_the_text_again(text: str) -> None:
    pieces = pieces_of(text)
    assert pieces is None or all(kind in ("text", "secret") for kind, _ in pieces)
    if pieces is not None and " :" not in text and ": " not in text and "{ " not in text and " }" not in text:
        assert "".join(part if kind == "text" else f"{{{{secret:{part}}}}}" for kind, part in pieces) == text


def test_handles_are_found_at_any_depth() -> None:
    value = {"goal": "x", "login": [{"with": H}, 5, None], H: 1}
    assert list(handles_in(value, "input")) == [(("input", "login", 0, "with"), "shop password")]


# --- the playbook's sentences


SENTENCES = [
    ('type the secret "shop password" into "Password"', "fill"),
    ('Type the secret “shop password” into the "Password" field', "fill"),
    ("please enter secret 'shop password' in \"Password\"", "fill"),
    ('put the secret "shop password" into the password field', "fill"),
    ('fill "Password" with the secret "shop password"', "fill"),
    ('fill in the "Password" field with secret "shop password"', "fill"),
    ('type {{secret:shop password}} into "Password"', "fill"),
    ('type "{{secret:shop password}}" into "Password"', "fill"),
    ('fill "Password" with "{{secret:shop password}}"', "fill"),
    ('type the secret "shop password"', "type_text"),
    ("type {{secret:shop password}}", "type_text"),
]


@pytest.mark.parametrize(("sentence", "action"), SENTENCES)
def test_a_sentence_names_its_secret(sentence: str, action: str) -> None:
    first, second = parse(f'{sentence}, then click "Sign in"').instructions
    assert (first.action, second.action) == (action, "click")
    assert first.shown_params["text"] == H
    assert first.shown_params.get("label", "").casefold() in ("", "password")
    text = resolved(first.params, first.values, lambda name: ("text", name))["text"]
    assert text.pieces == (SECRET,)
    assert first.text == sentence.removeprefix("please ")


@pytest.mark.parametrize(
    "sentence", ['click "the secret"', 'click the secret "x"', 'ask for the secret "x"', 'check that the secret "x" is visible']
)  # fmt: skip
def test_other_sentences_put_no_secret_in(sentence: str) -> None:
    for instruction in parse(sentence).instructions:
        assert not any(isinstance(value, Reference) and value.kind == "secret" for value in instruction.values)


def test_a_value_that_reads_like_a_secret_is_text() -> None:
    """What a template yields is data: nobody names a secret with it (docs/api/workflows.md section 5)."""
    for value in (H, 'the secret "shop password"', '" into "x" and type the secret "shop password'):
        task = f'type "{value}" into "Comment"'
        (step,) = parse(task, (Bound(6, len(value)),)).steps
        assert step["params"]["text"] == value
    task = 'type the secret "shop password" into "Comment"'
    (instruction,) = parse(task, (Bound(17, len("shop password")),)).instructions
    assert not any(isinstance(value, Reference) for value in instruction.values)


# --- taken out of text


@pytest.mark.parametrize(
    "text",
    [
        "It is tr0ub4dor & 3é!", "tr0ub4dor  & 3é", "?p=tr0ub4dor%20%26%203%C3%A9&x", "?p=tr0ub4dor+%26+3%c3%a9",
        "<b>tr0ub4dor &amp; 3é</b>", '{"p":"tr0ub4dor & 3\\u00e9"}', "dHIwdWI0ZG9yICYgM8Op", "dHIwdWI0ZG9yICYgM8Op==",
        "x" + "tr0ub4dor & 3é".encode().hex() + "x",
    ],
)  # fmt: skip
def test_a_secret_is_taken_out_however_it_is_spelled(text: str) -> None:
    secret = "tr0ub4dor & 3é" if "  " not in text else "tr0ub4dor  & 3é"
    out = Redaction([secret]).cleared(text)
    assert "[redacted]" in out
    assert "tr0ub4dor" not in out
    assert "dHIwdWI0" not in out


def test_blanks_that_a_page_draws_once_hide_nothing() -> None:
    assert Redaction([" a  secret\tvalue "]).cleared("It is a secret value.") == "It is [redacted]."


def test_a_key_of_many_lines_is_taken_out_line_by_line() -> None:
    key = "-----BEGIN-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END-----"
    out = Redaction([key]).cleared("> MIIEvQIBADANBg\n> kqhkiG9w0BAQEF")
    assert out == "> [redacted]\n> [redacted]"


def test_a_short_one_is_taken_out_where_it_stands_alone() -> None:
    assert Redaction(["12"]).cleared({"a": ["12", "PIN 12.", "2012"]}) == {
        "a": ["[redacted]", "PIN [redacted].", "2012"]
    }
    assert Redaction(["", " "]).cleared("a b") == "a b"


@given(st.text(min_size=4, max_size=30), st.text(max_size=10), st.text(max_size=10))
def test_no_spelling_is_left_over(secret: str, before: str, after: str) -> None:
    hidden = Redaction([secret])
    for form in spellings(secret):
        if form.strip() and len(form) >= 4:
            assert form not in hidden.cleared(f"{before} {form} {after}").replace("[redacted]", "\0")


def test_bytes_of_a_file_are_cleared() -> None:
    assert Redaction(["s3cret"]).cleared(b"\xff a s3cret \xfe") == b"\xff a [redacted] \xfe"


# --- on a terminal's screen


def test_a_terminal_is_painted_over_also_where_a_row_ends() -> None:
    grid = screen_cells.parse("a s3cret b\n12345678s3\ncret 漢字", 10, 3)
    shown = ["".join(cell.char for cell in row) for row in screen_cells.masked(grid, 10, ["s3cret", "漢字"])]
    assert shown == ["a ██████ b", "12345678██", "████ ████"]
    assert screen_cells.masked(grid, 10, ["s3cret cret"]) == grid


# --- on cards


FIELD = Target("textbox", "Password", "password", "Sign in")


@pytest.mark.parametrize(
    ("name", "text", "target", "title"),
    [
        ("fill", H, FIELD, 'Fill textbox "Password" with the secret "shop password" on shop.test'),
        ("type_text", H, FIELD, 'Type the secret "shop password" into textbox "Password" on shop.test'),
        ("type_text", H, None, 'Type the secret "shop password" on shop.test'),
        ("type_text", f"{H}\n", None, 'Type text with the secret "shop password" on shop.test'),
        ("type_text", f"{H}{{{{secret:b}}}}", None, 'Type text with the secrets "shop password" and "b" on shop.test'),
        ("type_text", "hello", None, "Type 5 characters on shop.test"),
    ],
)
def test_a_title_names_the_secret_and_where_it_goes(name: str, text: str, target: Target | None, title: str) -> None:
    assert action_title(name, {"text": text}, "shop.test", None, target) == title


def test_a_person_may_change_what_stands_around_a_secret() -> None:
    act = Act(Action("type_text", {"text": H}), secrets={"text": (SECRET,)})
    changed = edited_act(act, {"name": "type_text", "params": {"text": f"{H}\n"}})
    assert changed.secrets == {"text": (SECRET, ("text", "\n"))}
    assert not edited_act(act, {"name": "type_text", "params": {"text": "plain"}}).secrets
    assert edited_act(act, {"name": "type_text", "params": {"text": H}}).secrets == act.secrets
