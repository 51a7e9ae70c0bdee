"""What the playbook agent can read: a table of sentences, the ways of joining them, and hostile text."""

import string
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.agents.playbook import parse
from runs.agents.playbook.language.nearest import nearest
from tests.chance import TRIED

CLICK: dict[str, Any] = {"button": "left", "count": 1}
SENTENCES: list[tuple[str, str, dict[str, Any]]] = [
    # browser and desktop
    ("open http://localhost:8000/a?x=1,2&y=3#z", "open_url", {"url": "http://localhost:8000/a?x=1,2&y=3#z"}),
    ('Open "https://shop.test/pay"', "open_url", {"url": "https://shop.test/pay"}),
    ("open the page shop.test", "open_url", {"url": "http://shop.test"}),
    ("go to 127.0.0.1:8080/x", "open_url", {"url": "http://127.0.0.1:8080/x"}),
    ("visit localhost:3000", "open_url", {"url": "http://localhost:3000"}),
    ("navigate to the URL https://a.test/?q=a;b", "open_url", {"url": "https://a.test/?q=a;b"}),
    ('click "Save"', "click", {"label": "Save", **CLICK}),
    ("CLICK ON THE 'Save' BUTTON", "click", {"label": "Save", "role": "button", **CLICK}),
    ("click the button “Sign in”", "click", {"label": "Sign in", "role": "button", **CLICK}),
    ("click „Weiter“", "click", {"label": "Weiter", **CLICK}),
    ("click »Zurück«", "click", {"label": "Zurück", **CLICK}),
    ("click ‚Ja‘", "click", {"label": "Ja", **CLICK}),
    ("click «Suivant»", "click", {"label": "Suivant", **CLICK}),
    ("click ‘Don’t save’", "click", {"label": "Don’t save", **CLICK}),
    ("click 'Don't save'", "click", {"label": "Don't save", **CLICK}),
    ('double-click "Report"', "click", {"label": "Report", "button": "left", "count": 2}),
    ('double click the icon "Report"', "click", {"label": "Report", "role": "icon", "button": "left", "count": 2}),
    ('right-click the "Row" link', "click", {"label": "Row", "role": "link", "button": "right", "count": 1}),
    ('tap "OK"', "click", {"label": "OK", **CLICK}),
    ('press the "Save" button', "click", {"label": "Save", "role": "button", **CLICK}),
    ('click the second "Delete" link', "click", {"label": "Delete", "role": "link", "ordinal": 2, **CLICK}),
    ('click the last "Delete"', "click", {"label": "Delete", "ordinal": -1, **CLICK}),
    ('click the 12th button "Go"', "click", {"label": "Go", "role": "button", "ordinal": 12, **CLICK}),
    ('click "Approve" in the row "Ernst Handel"', "click", {"label": "Approve", "row": "Ernst Handel", **CLICK}),
    ('click "Approve" in the "Ernst Handel" row', "click", {"label": "Approve", "row": "Ernst Handel", **CLICK}),
    ('click the menu item "File"', "click", {"label": "File", "role": "menu item", **CLICK}),
    ('click the tab "Users"', "click", {"label": "Users", "role": "tab", **CLICK}),
    ('type "a" into "Email"', "fill", {"text": "a", "label": "Email"}),
    ('enter "a@b.c" in the field "Email"', "fill", {"text": "a@b.c", "label": "Email", "role": "field"}),
    ('write "" into the "Name" text box', "fill", {"text": "", "label": "Name", "role": "box"}),
    ('fill "Password" with "x"', "fill", {"text": "x", "label": "Password"}),
    (
        'fill in the "Qty" field in the row "Tea" with "3"',
        "fill",
        {"text": "3", "label": "Qty", "role": "field", "row": "Tea"},
    ),
    ('type "hello; and then stop."', "type_text", {"text": "hello; and then stop."}),
    ("type 'two\\lines'", "type_text", {"text": "two\\lines"}),
    ("press Enter", "press", {"keys": ["enter"]}),
    ("press the Return key", "press", {"keys": ["enter"]}),
    ("press Ctrl+A", "press", {"keys": ["ctrl", "a"]}),
    ("hit Control + Shift + T", "press", {"keys": ["ctrl", "shift", "t"]}),
    ('press "Alt+F4"', "press", {"keys": ["alt", "f4"]}),
    ("press page down", "press", {"keys": ["pagedown"]}),
    ("press the down arrow key", "press", {"keys": ["down"]}),
    ("press Y", "press", {"keys": ["Y"]}),
    ('select "Green" in "Colour"', "select_option", {"option": "Green", "label": "Colour"}),
    (
        'choose "Green" from the "Colour" drop-down list',
        "select_option",
        {"option": "Green", "label": "Colour", "role": "dropdown"},
    ),
    ('check "I agree"', "check", {"label": "I agree"}),
    ('tick the checkbox "I agree"', "check", {"label": "I agree", "role": "checkbox"}),
    ('check "Paid" in the row "Tea"', "check", {"label": "Paid", "row": "Tea"}),
    ('uncheck "Box"', "uncheck", {"label": "Box"}),
    ("scroll down", "scroll", {"direction": "down", "amount": 3}),
    ("scroll up 5 times", "scroll", {"direction": "up", "amount": 5}),
    ("scroll to the bottom", "scroll", {"direction": "down", "amount": 100}),
    ("scroll to the top of the page", "scroll", {"direction": "up", "amount": 100}),
    ('scroll down to "Terms"', "scroll_to", {"direction": "down", "label": "Terms"}),
    ('scroll to "Terms"', "scroll_to", {"label": "Terms"}),
    (
        'select the option "Green" from the "Colour" dropdown',
        "select_option",
        {"option": "Green", "label": "Colour", "role": "dropdown"},
    ),
    ('hover over "Menu"', "hover", {"label": "Menu"}),
    ('move the mouse over the "Menu" link', "hover", {"label": "Menu", "role": "link"}),
    ("go back", "go_back", {}),
    ("go back to the previous page", "go_back", {}),
    ("refresh the page", "reload", {}),
    ("reload", "reload", {}),
    ('upload report.pdf to "CV"', "upload", {"name": "report.pdf", "label": "CV"}),
    ('upload the file `a b.pdf` to the "CV" field', "upload", {"name": "a b.pdf", "label": "CV", "role": "field"}),
    ('drag "A" to "B"', "drag", {"from": "A", "to": "B"}),
    ('drag "A" onto "B"', "drag", {"from": "A", "to": "B"}),
    ('clear the "Name" field', "clear", {"label": "Name", "role": "field"}),
    ("open http://[::1]:8000/", "open_url", {"url": "http://[::1]:8000/"}),
    ("open http://ana:pw@shop.test/a", "open_url", {"url": "http://ana:pw@shop.test/a"}),
    ("go to 'https://a.test/b_(c);d=ü'", "open_url", {"url": "https://a.test/b_(c);d=ü"}),
    ("Click on the login button", "click", {"label": "login", "role": "button", **CLICK}),
    ("press the Sign in button", "click", {"label": "Sign in", "role": "button", **CLICK}),
    ("click the Add to cart button", "click", {"label": "Add to cart", "role": "button", **CLICK}),
    ("tick the Remember me checkbox", "check", {"label": "Remember me", "role": "checkbox"}),
    ('enter "x" into the name field', "fill", {"text": "x", "label": "name", "role": "field"}),
    ('fill in the e-mail field with "x"', "fill", {"text": "x", "label": "e-mail", "role": "field"}),
    # terminal
    ("create a file hello.txt containing hello world", "create_file", {"name": "hello.txt", "text": "hello world"}),
    ("run `echo a; echo 'b' && ls`", "run", {"command": "echo a; echo 'b' && ls"}),
    ('execute the command "ls -la"', "run", {"command": "ls -la"}),
    ("create a file named approval.txt", "create_file", {"name": "approval.txt"}),
    ("create an empty file called a-b_c.md", "create_file", {"name": "a-b_c.md"}),
    ("make the file `x y.txt`", "create_file", {"name": "x y.txt"}),
    (
        'create a file named n.txt with the text "hello. then stop"',
        "create_file",
        {"name": "n.txt", "text": "hello. then stop"},
    ),
    ('create a new text file "n" containing "x"', "create_file", {"name": "n", "text": "x"}),
    ("start the web server", "start_server", {"port": 8000}),
    ("Start a local web server on port 9000", "start_server", {"port": 9000}),
    ("run the test suite", "run_tests", {}),
    ("Run the integration test suite", "run_tests", {}),
    ("run all the tests", "run_tests", {}),
    ("stop the web server", "stop_server", {}),
    ("shut down the server", "stop_server", {}),
    # waiting and checking
    ('wait for "Welcome"', "wait_for", {"condition": {"is": "text_visible", "seen": "Welcome"}, "limit": 30_000}),
    (
        'wait for the text "Hi" to appear for up to 10 seconds',
        "wait_for",
        {"condition": {"is": "text_visible", "seen": "Hi"}, "limit": 10_000},
    ),
    (
        'wait for "Loading" to disappear',
        "wait_for",
        {"condition": {"is": "text_hidden", "seen": "Loading"}, "limit": 30_000},
    ),
    ("wait 2 seconds", "wait", {"duration": 2000}),
    ("wait for 1.5 s", "wait", {"duration": 1500}),
    ("wait 200 ms", "wait", {"duration": 200}),
    ("wait 3 minutes", "wait", {"duration": 180_000}),
    ("wait for port 8080", "wait_for", {"condition": {"is": "port_open", "port": 8080}, "limit": 30_000}),
    ("wait for it to listen on port 80", "wait_for", {"condition": {"is": "port_open", "port": 80}, "limit": 30_000}),
    (
        "wait for the web server to start listening on port 81 for at most 2 minutes",
        "wait_for",
        {"condition": {"is": "port_open", "port": 81}, "limit": 120_000},
    ),
    (
        'wait until the URL contains "done"',
        "wait_for",
        {"condition": {"is": "url_contains", "url_part": "done"}, "limit": 30_000},
    ),
    (
        "wait for the file a.txt to exist",
        "wait_for",
        {"condition": {"is": "file_there", "name": "a.txt"}, "limit": 30_000},
    ),
    ('check that "x" is visible', "check_that", {"condition": {"is": "text_visible", "seen": "x"}}),
    ('check that "x" is not visible', "check_that", {"condition": {"is": "text_hidden", "seen": "x"}}),
    ("verify “x” isn’t shown", "check_that", {"condition": {"is": "text_hidden", "seen": "x"}}),
    ('make sure that the page shows "x"', "check_that", {"condition": {"is": "text_visible", "seen": "x"}}),
    ('check the page does not contain "x"', "check_that", {"condition": {"is": "text_hidden", "seen": "x"}}),
    ("check that the file a.txt exists", "check_that", {"condition": {"is": "file_there", "name": "a.txt"}}),
    (
        'check that the file a.txt contains "x"',
        "check_that",
        {"condition": {"is": "file_there", "name": "a.txt", "text": "x"}},
    ),
    ("check that the file a.txt does not exist", "check_that", {"condition": {"is": "file_gone", "name": "a.txt"}}),
    (
        'check that the file a.txt does not contain "x"',
        "check_that",
        {"condition": {"is": "file_lacks", "name": "a.txt", "text": "x"}},
    ),
    ("check that there is a file named a.txt", "check_that", {"condition": {"is": "file_there", "name": "a.txt"}}),
    ('check that the URL contains "done"', "check_that", {"condition": {"is": "url_contains", "url_part": "done"}}),
    ("check that port 8080 is listening", "check_that", {"condition": {"is": "port_open", "port": 8080}}),
    ("check that port 8080 is not listening", "check_that", {"condition": {"is": "port_closed", "port": 8080}}),
    ('check that "Paid" is checked', "check_that", {"condition": {"is": "box_checked", "label": "Paid"}}),
    ('check that "Paid" is not checked', "check_that", {"condition": {"is": "box_unchecked", "label": "Paid"}}),
    (
        'check that "Paid" in the row "Tea" is checked',
        "check_that",
        {"condition": {"is": "box_checked", "label": "Paid", "row": "Tea"}},
    ),
    (
        'check that the "E" field contains "v"',
        "check_that",
        {"condition": {"is": "field_contains", "label": "E", "role": "field", "text": "v"}},
    ),
    (
        'check that the text field "E" is "v"',
        "check_that",
        {"condition": {"is": "field_is", "label": "E", "role": "field", "text": "v"}},
    ),
    (
        'check that the "E" field does not contain "v"',
        "check_that",
        {"condition": {"is": "field_lacks", "label": "E", "role": "field", "text": "v"}},
    ),
    (
        'check that the "E" field is empty',
        "check_that",
        {"condition": {"is": "field_empty", "label": "E", "role": "field"}},
    ),
    ('check that the heading "Hi" is visible', "check_that", {"condition": {"is": "text_visible", "seen": "Hi"}}),
    # people
    ('ask "Which?"', "ask_question", {"question": "Which?"}),
    (
        'ask "Which?" with the options "A", "B" and "C"',
        "ask_question",
        {"question": "Which?", "options": ["A", "B", "C"]},
    ),
    (
        "ask a person 'Go on?' with options 'Yes', 'No'",
        "ask_question",
        {"question": "Go on?", "options": ["Yes", "No"]},
    ),
    ("ask for approval", "ask_approval", {}),
    ("ask for approval to finish", "ask_approval", {"purpose": "to finish"}),
    ('ask for approval to "send it"', "ask_approval", {"purpose": "to send it"}),
    ("request approval before sending the mail", "ask_approval", {"purpose": "before sending the mail"}),
    ("wait for approval", "ask_approval", {}),
    ("ask for my approval", "ask_approval", {}),
    ("ask for the invoice number", "ask_input", {"value": "invoice number"}),
    ('ask a person for "Code"', "ask_input", {"value": "Code"}),
    ("hand over to a person", "hand_over", {}),
    ('hand over to a person because "captcha"', "hand_over", {"reason": "captcha"}),
    # ends
    ("stop", "stop", {}),
    ("finish here", "stop", {}),
    ("succeed", "succeed", {}),
    ('succeed with "ok"', "succeed", {"summary": "ok"}),
    ("fail", "fail", {}),
    ('fail because "no"', "fail", {"reason": "no"}),
    ('fail "no"', "fail", {"reason": "no"}),
    ("fail because of the weather", "fail", {"reason": "the weather"}),
    ("fail because the page is broken", "fail", {"reason": "the page is broken"}),
]


@pytest.mark.parametrize(("sentence", "action", "params"), SENTENCES, ids=[s for s, _, _ in SENTENCES])
def test_a_sentence_is_read(sentence: str, action: str, params: dict[str, Any]) -> None:
    assert parse(sentence).steps == [{"text": sentence, "action": action, "params": params}]
    politely = parse(f"  1) Please {sentence}.\n")
    assert [(s["action"], s["params"]) for s in politely.steps] == [(action, params)]
    assert not politely.unknown


def actions(task: str) -> list[str]:
    return [i.action for i in parse(task).instructions]


JOINED = [
    'open a.test\nclick "B"\nstop',
    'open a.test; click "B"; stop',
    'Open a.test. Click "B". Stop.',
    'open a.test, click "B" and stop',
    'open a.test, then click "B", and then stop',
    'open a.test then click "B" then stop',
    '1. open a.test\n2. click "B"\n3. stop',
    '1) open a.test 2) click "B" 3) stop',
    '- open a.test\n- click "B"\n- stop',
    '* open a.test\n\n\n• click "B"\r\n– stop',
    'Step 1: open a.test\nStep 2: click "B"\nStep 3: stop',
    'First, open a.test. Next, please click "B". Finally stop!',
]


@pytest.mark.parametrize("task", JOINED)
def test_sentences_are_joined_in_many_ways(task: str) -> None:
    assert actions(task) == ["open_url", "click", "stop"]


def test_the_seed_tasks_are_read_whole() -> None:
    task = (
        "Create a file named approval.txt, ask for approval to finish, "
        "then check that the file approval.txt exists and stop"
    )
    assert actions(task) == ["create_file", "ask_approval", "check_that", "stop"]
    server, wait = parse("Start the web server and wait for it to listen on port 8080").steps
    assert server["params"] == {"port": 8080}
    assert wait["params"]["condition"]["port"] == 8080


def test_a_wait_without_a_port_means_the_server_just_started() -> None:
    _, wait = parse("start the web server on port 9000 and wait for it to listen").steps
    assert wait["params"]["condition"] == {"is": "port_open", "port": 9000}


@pytest.mark.parametrize(
    "text",
    [
        "Book me a flight to Paris",
        "click",
        "click Save",
        "click the second button",
        "click the Save and close button",
        "click the button in the corner",
        "click the button in the list",
        "click the link of my box",
        "open mailto:ana@shop.test",
        "open ana@shop.test",
        "create a file n.txt containing `x`",
        'type the code into "Code"',
        "press the big red thing",
        "open file:///etc/passwd",
        "open javascript:alert(1)",
        "wait for port 99999",
        "wait 2 hours",
        'select "Green"',
        "run ls",
        "create a file",
        'click "Save" quickly',
        'succeed if "Done" is visible',
        'fail if "Error" is visible',
        "stop if the page is red",
        "hand over to a person if there is a captcha",
        "ask for approval if it costs more than 100",
        "ask for approval from Ana",
        "stopwatch",
        "!!!",
        '"Save"',
        "press Ctrl+Alt+Shift+Meta+A+B",
    ],
)
def test_what_cannot_be_read_is_unknown(text: str) -> None:
    plan = parse(text)
    assert not plan.steps
    assert len(plan.unknown) == 1
    assert plan.unknown[0]["column"] == 1


def test_unknown_sentences_stand_between_known_ones_with_their_column() -> None:
    task = 'open a.test, then dance a little.\nclick "B" and sing'
    plan = parse(task)
    assert [s["action"] for s in plan.steps] == ["open_url", "click"]
    assert plan.unknown == [{"text": "dance a little", "column": 19}, {"text": "sing", "column": 49}]
    for unknown in plan.unknown:
        assert task[unknown["column"] - 1 :].startswith(unknown["text"])


@pytest.mark.parametrize(
    "bound",
    [
        'if "X" is visible, click "Y"',
        'If "X" is visible then click "Y" and press Enter',
        'when the page is there, click "Y"',
        'for each row, click "Delete" and wait 1 second',
        'Repeat 3 times: click "A", click "B"',
        "after typing the name, press Enter",
    ],
)
def test_what_depends_on_words_that_are_not_understood_is_no_instruction_of_its_own(bound: str) -> None:
    plan = parse(f"press Tab and then {bound}; press Escape. Stop")
    assert [s["action"] for s in plan.steps] == ["press", "press", "stop"]
    assert plan.unknown == [{"text": bound, "column": 20}]


def test_separators_inside_quotes_commands_and_addresses_do_not_cut() -> None:
    assert actions('type "a; b. then c and stop\nnext line"') == ["type_text"]
    assert actions("run `a; b\nc. then stop` and stop") == ["run", "stop"]
    assert actions("open http://a.test/?a=1;b=2,and,stop and stop") == ["open_url", "stop"]
    assert actions("wait for port 80. Stop") == ["wait_for", "stop"]
    assert actions("check that the file a.b.txt exists. stop") == ["check_that", "stop"]


@TRIED
@given(st.text(max_size=400) | st.lists(st.sampled_from([s for s, _, _ in SENTENCES]), max_size=8).map(", ".join))
def test_any_text_gives_a_plan_that_tells_where_each_sentence_stands(task: str) -> None:
    plan = parse(task)
    assert plan.instructions
    for instruction in plan.instructions:
        assert task[instruction.column - 1 :].startswith(instruction.text) or not instruction.action


@TRIED
@given(
    st.lists(
        st.sampled_from([*string.punctuation, *"“”‘’„«»\n\t 1aé", " and ", " then ", "click ", "ask "]), max_size=300
    )
)
def test_quotes_and_punctuation_in_any_order_are_survived(parts: list[str]) -> None:
    assert parse("".join(parts)).instructions


HOSTILE = [
    *(
        '"',
        "'",
        " '",
        "“",
        "„",
        "‘ ",
        "`",
        " ",
        "\n",
        ",",
        ";",
        ".",
        "and ",
        "then ",
        ", and ",
        "1. ",
        "a",
        "http://",
        "+",
    ),
    *(
        "stop\n",
        "stop and ",
        "click ",
        "please ",
        'click "a" and ',
        "press a+",
        "a and ",
        "fail because ",
        "not ",
        '"a", ',
    ),
    *("the ", "ask for ", "x.y", "wait for port ", "((", "\\", "\0", "é", "🙂 ", "'a'a", "select 'a' in ", "1) 2) "),
]


@pytest.mark.parametrize("part", HOSTILE)
def test_the_longest_task_is_read_in_time(part: str) -> None:
    began = time.process_time()
    assert parse((part * 16_000)[:16_000]).instructions
    assert time.process_time() - began < 5


@pytest.mark.parametrize("start", ["ask for approval to ", 'ask "x" with the options '])
@pytest.mark.parametrize("part", ["and ", "then ", ", ", '"a", ', "'a' "])
def test_long_lists_are_read_in_time(start: str, part: str) -> None:
    began = time.process_time()
    assert parse((start + part * 16_000)[:5900]).instructions
    assert time.process_time() - began < 5


def test_a_plan_can_be_shown_to_people() -> None:
    assert parse("press Enter, then dance.").text == "1. press Enter\n2. dance (not understood)"
    assert parse('type "a\n2. stop"').text == '1. type "a⏎2. stop"'


# --- the nearest sentences


@pytest.mark.parametrize(
    ("sentence", "first"),
    [
        ("ls -la", "run `ls -la`"),
        ("run ls", "run `ls`"),
        ("please run the command git status", "run `git status`"),
        ("Run uname -a and date", "run `uname -a` and run `date`"),
        ("click Save", 'click "Save"'),
        ("clik the Save button", 'click "Save"'),
        ("press the big red thing", 'click "big red thing"'),
        ("hover on the thing", 'hover over "thing"'),
    ],
)
def test_the_nearest_sentence_comes_first(sentence: str, first: str) -> None:
    assert nearest(sentence)[0] == first


@TRIED
@given(
    st.text(max_size=300) | st.lists(st.sampled_from(["click ", "the ", '"', "`", "and ", "run ", "x"])).map("".join)
)
def test_whatever_is_offered_can_be_read(sentence: str) -> None:
    offered = nearest(sentence)
    assert len(offered) <= 3
    assert len(set(offered)) == len(offered)
    for each in offered:
        assert not parse(each).unknown


@pytest.mark.parametrize(
    "sentence", ["Book me a flight to Paris", "dance", "find the pricing page", "make sure it is fine"]
)
def test_three_are_offered_for_any_words(sentence: str) -> None:
    assert len(nearest(sentence)) == 3
