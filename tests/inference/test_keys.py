"""Keys as models spell them: every way leads to a name that a machine takes, or to words for the model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.wires import key_spellings
from machines.actions.canonical import Screen, canonical
from machines.drivers import keys as drivers


def pressed(text: str, **options: bool) -> object:
    return key_spellings.action(key_spellings.split(text), **options)


@pytest.mark.parametrize(
    ("spelled", "key"),
    [
        ("Return", "enter"), ("KP_Enter", "enter"), ("ENTER", "enter"), ("Page_Down", "pagedown"), ("PAGEDOWN", "pagedown"),
        ("Next", "pagedown"), ("Prior", "pageup"), ("ArrowDown", "down"), ("Down", "down"), ("BackSpace", "backspace"),
        ("Escape", "escape"), ("ESC", "escape"), ("space", " "), ("SPACE", " "), (" ", " "), ("F5", "f5"), ("Tab", "tab"),
        ("a", "a"), ("A", "A"), ("+", "+"), ("plus", "+"), ("KP_7", "7"), ("Delete", "delete"), ("comma", ","),
    ],
)  # fmt: skip
def test_a_key_by_any_of_its_names(spelled: str, key: str) -> None:
    assert pressed(spelled) == ("key_press", {"key": key})


@pytest.mark.parametrize(
    ("spelled", "together"),
    [
        ("ctrl+s", ["ctrl", "s"]), ("CTRL+S", ["ctrl", "s"]), ("Control_L+c", ["ctrl", "c"]), ("cmd+Return", ["meta", "enter"]),
        ("ctrl+shift+Tab", ["ctrl", "shift", "tab"]), ("alt+F4", ["alt", "f4"]), ("ctrl++", ["ctrl", "+"]),
        ("s+ctrl", ["ctrl", "s"]), ("Super_L+ArrowUp", ["meta", "up"]), ("ctrl+ctrl+a", ["ctrl", "a"]),
    ],
)  # fmt: skip
def test_a_combination(spelled: str, together: list[str]) -> None:
    assert pressed(spelled) == ("key_combo", {"keys": together})


def test_where_all_keys_are_named_in_capitals_a_letter_is_its_key() -> None:
    assert key_spellings.action(["A"], capitals=False) == ("key_press", {"key": "a"})


@pytest.mark.parametrize(
    "spelled", ["ctrl", "ctrl+shift", "XF86AudioPlay", "a+b", "", "  ", "Hyper_L+a", "F13", "hello"]
)
def test_what_no_machine_can_press_is_told_to_the_model(spelled: str) -> None:
    with pytest.raises(key_spellings.UnknownKeyError) as told:
        pressed(spelled)
    assert str(told.value).endswith(".")


@given(st.text(max_size=20) | st.sampled_from(["ctrl+", "shift+", "+", "++", "+a", "ctrl+\n"]))
def test_whatever_a_model_sends_is_a_key_of_the_drivers_or_refused(text: str) -> None:
    try:
        name, params = pressed(text)
    except key_spellings.UnknownKeyError:
        return
    _, taken = canonical(name, params, Screen(100, 100))
    assert drivers.combination(taken["keys"] if "keys" in taken else [taken["key"]])
