"""What a line of shell names that could change before it runs."""

import pytest

from machines.drivers.terminal.operands import MOST_WORDS, operands_of

WORDS = {
    "sh deploy.sh": ["deploy.sh"],
    "./deploy.sh now": ["./deploy.sh", "now"],
    "python3 ./x.py arg": ["./x.py", "arg"],
    "cat a | sh": ["a"],
    "sh < f": ["f"],
    "echo a > f": ["a", "f"],
    "echo a >| f": ["a", "f"],
    ". ./env": ["./env"],
    "bash -c 'sh in.sh; cat other'": ["in.sh", "other"],
    "sh -xe deploy.sh": ["deploy.sh"],
    "tool --file=a.yml -fb.yml @c host:d X=e": ["a.yml", "b.yml", "c", "d", "e"],
    "X=f.sh sh -": ["f.sh"],
    'sh "a b.sh"': ["a b.sh"],
    "sh a\\ b.sh": ["a b.sh"],
    "echo $(sh in.sh)": ["in.sh"],
    "echo `sh in.sh`": ["in.sh"],
    "sudo -u x sh f": ["f"],
    "ls *.txt ~/x": ["*.txt", "~/x"],
    "make": ["Makefile", "GNUmakefile"],
    "npm test": ["package.json"],
    "python3 -m deploy.all now": ["deploy/all.py", "deploy/all/__main__.py", "deploy/__init__.py"],
    "python3.11 -mdeploy": ["deploy.py"],
    "nohup python3 -Im deploy": ["deploy.py"],
    "node deploy": ["deploy.js", "deploy.mjs", "deploy.cjs"],
    "node -r ./hook deploy.js": ["./hook.js", "deploy.js"],
    "bun run deploy": ["deploy.ts", "deploy.js"],
    "java -cp out Main": ["Main.class"],
    "echo $'\\'' ; sh deploy.sh #'": ["deploy.sh"],
    "true # it's\nsh deploy.sh #'": ["deploy.sh"],
    "true # \\\nsh deploy.sh": ["deploy.sh"],
}


@pytest.mark.parametrize("line", WORDS)
def test_files_are_found_wherever_they_are_named(line: str) -> None:
    assert set(WORDS[line]) <= set(operands_of(line).words)


@pytest.mark.parametrize(
    ("line", "programs"),
    [
        ("sh deploy.sh", {"sh"}), ("cat a | python3 -", {"cat", "python3"}),
        ("env X=1 nice python3 x", {"env", "nice", "python3", "x", "X=1"}),
        ("if true; then make; fi", {"if", "true", "then", "make", "fi"}), ("./a.sh", set()), ("echo $(date)", {"echo", "date"}),
    ],
)  # fmt: skip
def test_programs_are_those_that_are_started(line: str, programs: set[str]) -> None:
    assert set(operands_of(line).programs) == programs


@pytest.mark.parametrize(
    ("line", "unknown"),
    [
        ("sh $X", ["$X"]), ("sh ${X}", ["${X}"]), ("$X now", ["$X"]), ("cat {a,b}.sh", ["{a,b}.sh"]), ("cat ~eve/x", ["~eve/x"]),
        ("cat `ls`", ["`ls`"]), ('cat "$(ls)"', ["$(ls)"]), ("cd $X && ls", ["$X"]), ("sh a.sh", []), ("echo {a}", []),
    ],
)  # fmt: skip
def test_what_only_the_shell_can_tell_is_named(line: str, unknown: list[str]) -> None:
    assert operands_of(line).unknown == unknown


def test_a_change_of_the_folder_is_followed() -> None:
    assert operands_of("cd a && cd b && sh x.sh").folders == ["a", "b", "a/b"]
    assert operands_of("make -C sub all").folders == ["sub"]
    assert operands_of("echo a >> log").appended == ["log"]
    assert "log" not in operands_of("echo a >> log").words


@pytest.mark.parametrize(
    "line", ["'open", "$(", "`", ">", ">>", "|", "\0", "x" * 70_000, "a " * 30_000, "((", "{", "\\"]
)
def test_no_line_is_too_odd(line: str) -> None:
    question = operands_of(line).question()
    assert all(len(words) <= MOST_WORDS for words in question.values())
