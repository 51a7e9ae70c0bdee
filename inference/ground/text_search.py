"""Finding an element by the text that stands on it. Never a guess.

Reading finds what is written there once, and nothing else: icons, boxes and empty fields are invisible to it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from inference.ground.ocr import Box, Line, Word

SURE, SURE_OF_ONE = 0.8, 0.95  # least scores of text, and of a single character
LONGEST_TEXT = 200  # characters of an element that is looked for as text
# What is no text, and what says where another thing is: reading does not find these.
_NO_TEXT = "field input box textbox textarea checkbox radio icon image picture logo avatar slider toggle switch dropdown combobox arrow"
_ELSEWHERE = "next beside below above under left right near before after between behind first second third last inside"
_UNSEEN = frozenset(f"{_NO_TEXT} {_ELSEWHERE}".split())
_KINDS = r"(?:button|link|tab|menu item|menu|heading|title|text|label|option|entry|item)"
_QUOTED = re.compile(r"[\"“”„«»](.+?)[\"“”«»]")


@dataclass(frozen=True)
class TextMatch:
    """What reading says: `point` in pixels of the picture when it is found; several or doubtful: ambiguous."""

    state: Literal["found", "ambiguous", "absent"]
    point: tuple[float, float] = (0.0, 0.0)


def locate(lines: Sequence[Line], element: str) -> TextMatch:
    """The one place where exactly this text stands."""
    for phrase in phrases(element):
        places = list(_places(lines, _plain(phrase)))
        if not places:
            continue
        sure = [place for place in places if place.score >= (SURE_OF_ONE if len(_plain(phrase)) == 1 else SURE)]
        if len(places) > 1:
            return TextMatch("ambiguous")
        if sure:
            left, top, right, bottom = sure[0].box
            return TextMatch("found", ((left + right) / 2, (top + bottom) / 2))
        return TextMatch("ambiguous")
    return TextMatch("absent")


def phrases(element: str) -> Iterator[str]:
    """The texts that an element may mean, the likeliest first; none where it means no text."""
    element = element.strip()
    if len(element) > LONGEST_TEXT:
        return
    quoted = _QUOTED.findall(element)
    around = _QUOTED.sub(" ", element) if quoted else element
    if len(quoted) > 1 or set(re.findall(r"[a-z]+", around.lower())) & _UNSEEN:
        return
    if quoted:
        yield quoted[0]
        return
    yield element
    bare = re.sub(rf"^(?:the|a|an)\s+|\s+{_KINDS}$", "", element, flags=re.IGNORECASE)
    bare = re.sub(rf"\s+{_KINDS}$", "", bare, flags=re.IGNORECASE)
    if bare != element:
        yield bare


def _plain(text: str) -> str:
    """As texts are compared: readers lose spaces, and screens write capitals and colons where people do not."""
    return re.sub(r"\s+", "", text).casefold().rstrip(":…").removesuffix("...")


def _places(lines: Sequence[Line], phrase: str) -> Iterator[Word]:
    """Every place where whole words of a line make up the text; a reader is not asked for parts of words."""
    for line in lines:
        if phrase and _plain(line.text) == phrase:
            yield line
            continue
        for start in range(len(line.words)):
            run = _run(line.words[start:], phrase)
            if run:
                yield Word(phrase, min(word.score for word in run), _around([word.box for word in run]))


def _run(words: Sequence[Word], phrase: str) -> list[Word]:
    run: list[Word] = []
    for word in words:
        run.append(word)
        text = _plain("".join(each.text for each in run))
        if phrase and text == phrase:
            return run
        if len(text) >= len(phrase):
            break
    return []


def _around(boxes: Sequence[Box]) -> Box:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
