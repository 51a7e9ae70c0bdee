"""What a line of shell names that could change before it runs: words that may be files, folders, patterns and programs.

Only what is written is read; what a variable becomes, or what a program opens by itself, nobody can say. guest/contents.py
looks at what there is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from machines.drivers.terminal.command_lines import ASSIGNMENT, SUBSTITUTION, commands_in, is_sign, words_of

MOST_WORDS = 200
_DEEPEST = 4  # lines within lines
_LONGEST_WORD = 1024
_BRACES = re.compile(r"[^\s{}]{0,64}\{[^{}\s]{0,64}(?:,|\.\.)[^{}\s]{0,200}\}[^\s{}]{0,64}")  # bounded: lines are long
_PARAMETER = re.compile(r"\$\{[^{}]{0,200}\}")
_ONLY_THE_SHELL = (SUBSTITUTION, _PARAMETER, _BRACES)
_DARK = "\x01"  # stands for what only the shell can tell
_VARIABLE = re.compile(r"\$(?:\w|\{|[@*#?!-])")
_PARTS = re.compile(r"[=:,@]")
_CHANGES_FOLDER = frozenset({"cd", "pushd"})
_FOLDER_OPTIONS = frozenset({"-C", "--directory", "--chdir", "-D", "--cwd", "--prefix"})
# Programs that start the program named after them.
_STARTERS = frozenset({
    "sudo", "doas", "env", "xargs", "nohup", "time", "exec", "command", "builtin", "nice", "ionice", "timeout", "stdbuf", "setsid",
    "watch", "busybox", "then", "do", "else", "elif", "if", "while", "until", "!", "find", "strace", "unshare", "chroot",
})  # fmt: skip
# Files that a program reads although the line does not name them.
_OF_ITSELF = {
    "make": ("GNUmakefile", "makefile", "Makefile"), "gmake": ("GNUmakefile", "makefile", "Makefile"),
    "npm": ("package.json",), "npx": ("package.json",), "yarn": ("package.json",), "pnpm": ("package.json",),
    "bun": ("package.json",), "node": ("package.json",), "cargo": ("Cargo.toml", "build.rs"), "go": ("go.mod",),
    "docker": ("Dockerfile", "compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"),
    "docker-compose": ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"),
    "podman": ("Containerfile", "Dockerfile"), "just": ("justfile", "Justfile"), "rake": ("Rakefile",), "bundle": ("Gemfile",),
    "gradle": ("build.gradle", "build.gradle.kts"), "mvn": ("pom.xml",), "ant": ("build.xml",), "cmake": ("CMakeLists.txt",),
    "ninja": ("build.ninja",), "tox": ("tox.ini",), "pytest": ("conftest.py", "pytest.ini", "pyproject.toml"),
    "pip": ("setup.py", "pyproject.toml"), "pip3": ("setup.py", "pyproject.toml"), "poetry": ("pyproject.toml",),
    "uv": ("pyproject.toml",), "terraform": ("main.tf",), "ansible-playbook": ("ansible.cfg",), "vagrant": ("Vagrantfile",),
    "fab": ("fabfile.py",), "invoke": ("tasks.py",), "meson": ("meson.build",),
}  # fmt: skip
# Programs that add the ending to the name of a file themselves.
_ENDINGS = {
    "node": (".js", ".mjs", ".cjs"), "bun": (".ts", ".js", ".tsx", ".mjs"), "deno": (".ts", ".js"), "tsx": (".ts", ".js"),
    "ts-node": (".ts", ".js"), "java": (".class",), "lua": (".lua",),
}  # fmt: skip
_PYTHON = re.compile(r"(?:python|pypy)\d*(?:\.\d+)?")
_MODULE = re.compile(r"-[A-Za-z]*m(.*)", re.DOTALL)


@dataclass
class Operands:
    """`words`: what may be a file or a pattern, as it is written; `appended`: to which is only written, at the end;
    `folders`: in which they may lie besides the shell's own; `unknown`: what only the shell can tell."""

    words: list[str] = field(default_factory=list)
    appended: list[str] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def question(self) -> dict[str, Any]:
        names = ("words", "appended", "programs", "folders")
        return {name: list(dict.fromkeys(getattr(self, name)))[:MOST_WORDS] for name in names}


def operands_of(line: str) -> Operands:
    operands = Operands()
    _read(line, operands, 0)
    operands.unknown = list(dict.fromkeys(operands.unknown))[:20]
    if len(set(operands.words)) > MOST_WORDS:
        operands.unknown.append(f"what comes after the first {MOST_WORDS} words")
    return operands


def _read(line: str, operands: Operands, depth: int) -> None:
    plain = line
    for pattern in _ONLY_THE_SHELL:
        operands.unknown += [match[0].replace(_DARK, "…")[:200] for match in pattern.finditer(plain)]
        plain = pattern.sub(_DARK, plain)
    words = words_of(plain)
    for at, word in enumerate(words):
        if word == ">>" and at + 1 < len(words):
            operands.appended.append(words[at + 1])
        elif word in (">|", "&>", ">&") and at + 1 < len(words):
            _word(words[at + 1], operands)
    for start, end in commands_in(words):
        _command(words[start:end], operands)
    for inner in _lines_within(line, words) if depth < _DEEPEST else ():
        _read(inner, operands, depth + 1)


def _lines_within(line: str, words: list[str]) -> Iterator[str]:
    """What stands in quotes may be a line of its own, for a shell that is started; what is substituted is one."""
    for match in SUBSTITUTION.finditer(line):
        substituted = match[1] or match[2]
        if substituted:
            yield substituted
    for word in words:
        if any(char.isspace() for char in word) and not is_sign(word):
            yield word


def _command(command: list[str], operands: Operands) -> None:
    words = list(command)
    while words and ASSIGNMENT.fullmatch(words[0]):
        _word(words.pop(0), operands)
    if not words:
        return
    name = words[0].rsplit("/", 1)[-1]
    for word in _started(words):
        _program(word, operands)
    for word in _completed(words):
        _word(word, operands)
    before = ""
    for word in words[1:]:
        if before in _FOLDER_OPTIONS or (name in _CHANGES_FOLDER and not word.startswith("-")):
            _enter(word, operands)
        elif not is_sign(word) and not (before == ">>" and word in operands.appended):
            _word(word, operands)
        before = word


def _completed(words: list[str]) -> Iterator[str]:
    """Files of which a program is told less than their name: `python -m a.b` starts a/b.py, `node a` a.js."""
    for at, word in enumerate(words):
        name = word.rsplit("/", 1)[-1]
        if _PYTHON.fullmatch(name):
            yield from _modules(words[at + 1 :])
        endings = _ENDINGS.get(name, ())
        plain = [each for each in words[at + 1 :] if not each.startswith("-") and not is_sign(each)] if endings else []
        yield from (each + ending for each in plain[:MOST_WORDS] for ending in endings)


def _modules(arguments: list[str]) -> Iterator[str]:
    for at, word in enumerate(arguments):
        if match := _MODULE.fullmatch(word):
            path = (match[1] or "".join(arguments[at + 1 : at + 2])).replace(".", "/")
            yield from (f"{path}.py", f"{path}/__main__.py", f"{path}/__init__.py", f"{path.split('/')[0]}/__init__.py")
            return
        if not word.startswith("-"):
            return


def _started(words: list[str]) -> Iterator[str]:
    """The programs that a simple command starts: its first word, and where that starts others whatever may be one."""
    yield words[0]
    if words[0].rsplit("/", 1)[-1] in _STARTERS:
        for word in words[1:]:
            if not word.startswith("-") and not is_sign(word) and not word.isdigit():
                yield word


def _program(word: str, operands: Operands) -> None:
    if "/" in word or _is_dark(word):
        _word(word, operands)
        return
    operands.programs.append(word[:_LONGEST_WORD])
    operands.words += _OF_ITSELF.get(word, ())


def _enter(word: str, operands: Operands) -> None:
    """A change of the folder: what follows may count from there, or from where one was before."""
    if _is_dark(word):
        operands.unknown += [] if _DARK in word else [word[:200]]
        return
    operands.folders += [word, *(f"{folder}/{word}" for folder in operands.folders if not word.startswith(("/", "~")))]


def _is_dark(word: str) -> bool:
    return (
        bool(_VARIABLE.search(word))
        or "`" in word
        or _DARK in word
        or (word.startswith("~") and word[1:2] not in ("", "/"))
    )


def _word(word: str, operands: Operands) -> None:
    """A word as it is, and what may be a file in it: `--file=x`, `-fx`, `@x`, `a=x`, `host:x`."""
    if len(word) > _LONGEST_WORD or not word.strip() or "\n" in word:
        return
    if _is_dark(word):
        operands.unknown += [] if _DARK in word else [word[:200]]
        return
    if not word.startswith("-"):
        operands.words.append(word)
    elif len(word) > 2 and word[1] != "-":
        operands.words.append(word[2:])
    operands.words += [part for part in _PARTS.split(word)[1:] if part]
