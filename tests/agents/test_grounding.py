"""Finding the thing on the screen that a sentence names."""

import pytest

from machines.drivers.base import Element
from runs.agents.playbook.screen.grounding import Target, find, labelled, similar
from tests.agents.machines import element

SAVE = element("button", "Save", 100, 100)
SAVE_TEXT = element("text", "Save", 110, 102, width=40, height=12)
SAVE_AS = element("button", "Save as…", 300, 100)
SAVED = element("text", "All saved", 100, 300)
EMAIL = element("textbox", "Email *", 200, 200)
EMAIL_LABEL = element("text", "Email", 100, 200)


def names(found: list[Element]) -> list[tuple[str, str]]:
    return [(e.role, e.name) for e in found]


@pytest.mark.parametrize(
    ("shown", "target", "expected"),
    [
        ([SAVE, SAVE_AS, SAVED], Target("Save"), [SAVE]),  # exact before prefix
        ([element("button", "SAVE"), element("button", "Save", 300)], Target("save"), "both"),
        ([element("button", "SAVE"), element("button", "save", 300)], Target("save"), "second"),  # exact before case
        ([SAVE_AS, SAVED], Target("Save"), [SAVE_AS]),  # prefix
        ([element("link", "Please sign in now")], Target("sign in"), "first"),  # whole words
        ([element("link", "Design inputs")], Target("sign in"), []),  # not inside words
        ([element("button", "Unsubscribe")], Target("Subscribe"), []),  # similar is another thing
        ([element("link", "Invoice 1042")], Target("Invoice 1041"), []),
        ([element("button", "Sign on")], Target("Sign in"), []),
        ([SAVE_TEXT, SAVE], Target("Save"), [SAVE]),  # a control before its text
        ([element("heading", "Terms"), element("link", "Terms", 300)], Target("Terms"), "second"),
        ([element("heading", "Terms"), element("link", "Terms", 300)], Target("Terms", role="heading"), "first"),
        ([element("link", "Go"), element("button", "Go", 300)], Target("Go", role="button"), "second"),
        ([element("link", "Go")], Target("Go", role="button"), "first"),  # a link that people call a button
        ([EMAIL_LABEL, EMAIL], Target("email", only="field"), [EMAIL]),
        ([EMAIL_LABEL], Target("email", only="field"), []),
        ([element("checkbox", "A"), element("button", "A", 300)], Target("A", only="box"), "first"),
        ([element("button", "Save", disabled=True)], Target("Save"), []),
        ([element("button", "Save", disabled=True), SAVE_AS], Target("Save"), []),  # no other in its place
        ([element("button", "Next", disabled=True), element("button", "Next", 300)], Target("Next"), "second"),
        ([element("button", "Next", disabled=True), element("button", "Next", 300)], Target("Next", ordinal=1), []),
        ([element("button", "")], Target(""), []),
        ([element("combobox", "", value="Green")], Target("Green"), "first"),
        ([element("button", "cafe\u0301")], Target("caf\u00e9"), "first"),
        ([element("button", "in\u00advoice\u200b")], Target("Invoice"), "first"),
        (
            [element("button", "\U0001f469\u200d\U0001f469")],
            Target("\U0001f469\U0001f469"),
            [],
        ),  # one picture is not two
        ([element("push button", "OK")], Target("OK", role="button"), "first"),
    ],
)
def test_the_best_name_wins(shown: list[Element], target: Target, expected: list[Element] | str) -> None:
    wanted = (
        {"first": shown[:1], "second": shown[1:2], "both": shown}.get(expected)
        if isinstance(expected, str)
        else expected
    )
    assert find(shown, target) == wanted


TABLE = [
    item
    for number, name in enumerate(("Alfreds", "Ernst Handel", "Island Trading"))
    for item in (
        element("row", f"{name} Approve Delete", 0, 100 + 40 * number, width=900, height=30),
        element("cell", name, 10, 105 + 40 * number),
        element("text", name, 12, 107 + 40 * number, width=60, height=16),
        element("link", "Approve", 300, 105 + 40 * number),
        element("link", "Delete", 500, 105 + 40 * number),
    )
]


def test_a_row_narrows_the_search() -> None:
    (found,) = find(TABLE, Target("Approve", row="Ernst Handel"))
    assert (found.role, found.y) == ("link", 145)
    assert find(TABLE, Target("Approve", row="Nobody")) == []


def test_a_row_that_is_only_similar_is_another_row() -> None:
    assert find(TABLE, Target("Approve", row="Ernst Hendel")) == []


def test_similar_names_are_offered() -> None:
    shown = [element("button", "Unsubscribe"), element("text", "Unsubscribe", 110), element("button", "Send", 300)]
    assert names(similar(shown, Target("Subscribe"))) == [("button", "Unsubscribe"), ("text", "Unsubscribe")]
    assert names(similar([element("textbox", "Passwort")], Target("Password", only="field"))) != []
    assert similar([element("button", "Subscribe!", disabled=True)], Target("Subscribe")) == []


def test_things_of_other_names_inside_a_thing_are_not_swallowed() -> None:
    card = element("link", "Order 55, three items", 100, 100, width=600, height=200)
    again = element("button", "Order again", 120, 120)
    assert find([card, again], Target("Order")) == [again, card]


def test_equally_good_things_are_all_returned_in_reading_order() -> None:
    found = find(TABLE[::-1], Target("Approve"))
    assert [e.y for e in found] == [105, 145, 185]


@pytest.mark.parametrize(("ordinal", "y"), [(1, 105), (2, 145), (-1, 185), (4, None)])
def test_an_ordinal_counts_in_reading_order(ordinal: int, y: int | None) -> None:
    assert [e.y for e in find(TABLE, Target("Delete", ordinal=ordinal))] == ([y] if y else [])


def test_candidates_are_described_by_their_row() -> None:
    found = find(TABLE, Target("Approve"))
    assert list(labelled(found, TABLE)) == [
        'Approve (link, row "Alfreds")',
        'Approve (link, row "Ernst Handel")',
        'Approve (link, row "Island Trading")',
    ]


def test_every_candidate_has_a_label_of_its_own() -> None:
    twins = [element("button", "Go", 100), element("button", "Go", 300), element("button", "Go", 300)]
    assert len(labelled(twins, [*twins, element("cell", "Same", 0)])) == 3
    assert list(labelled(twins[:2], twins)) == ["Go (button, at 140, 110)", "Go (button, at 340, 110)"]
