"""The lines of templates, style sheets and scripts, for `make lint`: short, and one element or one declaration on each."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 120
CHOICES = 2  # conditions that a line may hold: with more it is read twice
ELEMENTS = (
    "article aside blockquote body button caption dd details dialog div dl dt fieldset figcaption figure footer form "
    "h1 h2 h3 h4 head header hr html iframe img input label legend li link main meta nav ol optgroup option p pre script "
    "section select summary svg table tbody td template textarea thead title tr ul"
).replace(" ", "|")
OPENED = re.compile(rf"<(?:{ELEMENTS})(?![\w-])")
CLOSED = re.compile(rf"</(?:{ELEMENTS})>")
CHOICE = re.compile(r"{% (?:if|for) ")
NO_CODE = re.compile(r"/\*.*?(?:\*/|$)|\"[^\"]*\"")

Check = Callable[[str], Iterator[str]]


def main() -> int:
    problems = [
        *_problems("templates", "html", _of_template),
        *_problems("static/css", "css", _of_style),
        *_problems("static/js", "js", _of_line),
    ]
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    return bool(problems)


def _problems(folder: str, ending: str, check: Check) -> Iterator[str]:
    for path in sorted((ROOT / folder).rglob(f"*.{ending}")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield from (f"{path.relative_to(ROOT)}:{number}: {problem}" for problem in check(line))


def _of_line(line: str) -> Iterator[str]:
    if len(line) > COLUMNS:
        yield f"{len(line)} columns, at most {COLUMNS}"


def _of_template(line: str) -> Iterator[str]:
    yield from _of_line(line)
    if len(OPENED.findall(line)) > 1 or len(CLOSED.findall(line)) > 1:
        yield "several elements on one line"
    if len(CHOICE.findall(line)) > CHOICES:
        yield f"more than {CHOICES} conditions on one line"


def _of_style(line: str) -> Iterator[str]:
    yield from _of_line(line)
    if NO_CODE.sub("", line).count(";") > 1:
        yield "several declarations on one line"


if __name__ == "__main__":
    sys.exit(main())
