"""The sentences that remember a text, and what becomes of it at the end: the output of the run.

Texts come from pages and programs: data, that is never read as words of an instruction.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from machines.drivers import element_roles
from machines.drivers.base import Action, Element
from runs.agents.base import Act
from runs.agents.playbook import person_questions
from runs.agents.playbook.checks.leaving import is_hidden
from runs.agents.playbook.scene import Reply, Scene, fail, stuck
from runs.agents.playbook.screen.grounding import Target, kind, normal, short
from runs.agents.playbook.screen.locating import MOST_CANDIDATES, chosen, named
from runs.secrets.services import cleared
from web.json_schema.validation import referred

LONGEST_NAME = 64
_SLACK = 2  # pixels by which boxes may overlap untidily
_LABELS = frozenset(
    {"text", "label", "cell", "tablecell", "gridcell", "layouttablecell", "rowheader", "term", "strong"}
)
_VALUES = _LABELS - {"term", "rowheader"} | element_roles.FIELDS | {"definition", "status", "link"}
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]{1,300})?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False}


async def remember(scene: Scene) -> Reply:
    """The text of something on the screen; at a terminal, the line that holds it."""
    if scene.context.machine_kind == "terminal":
        return await _line(scene, scene.params["label"])
    label, place = scene.params.get("label", ""), {key: scene.params.get(key) for key in ("role", "row", "ordinal")}
    element = await chosen(scene, Target(label, **place), covered=True)
    if isinstance(element, Reply):
        return element
    element = _beside(element, label, await scene.session.elements()) or element
    text = text_of(element)
    if is_hidden(text) and kind(element) in element_roles.FIELDS:
        return fail(f"{named(element)} hides what it holds, so it cannot be remembered.")
    return _kept(scene, text)


async def remember_line(scene: Scene) -> Reply:
    return await _line(scene, scene.params["line"])


async def remember_output(scene: Scene) -> Reply:
    if scene.output is None:
        message = "Nothing is known of what the last command wrote: there was none, or it took longer than its step."
        return stuck(
            scene,
            "target",
            message,
            [person_questions.RETRY, person_questions.SKIP, person_questions.TAKE_OVER, person_questions.STOP],
        )
    return _kept(scene, scene.output.rstrip("\r\n"))


def text_of(element: Element) -> str:
    """What a field or list holds, whether a box is checked ("true", "false"), and of everything else its words."""
    if element.checked is not None:
        return str(element.checked).lower()
    if kind(element) in element_roles.FIELDS:
        return element.value or ""
    return element.name if element.value is None or element.name else element.value


def _beside(label: Element, name: str, elements: Sequence[Element]) -> Element | None:
    """What a label is the label of: the next thing on its line, where the label itself says no more than was named.

    Of what can be pressed the words are its own; a term of a list has its definition below it.
    """
    if kind(label) not in _LABELS or normal(label.name) != normal(name):
        return None
    at = next((n for n, e in enumerate(elements) if e.ref == label.ref and e.name == label.name), len(elements))
    term = kind(label) == "term"
    beside = next((element for element in elements[at + 1 :] if term or _follows(element, label)), None)
    return beside if beside and kind(beside) in _VALUES else None


def _follows(element: Element, label: Element) -> bool:
    middle = element.center[1]
    return label.y <= middle <= label.y + label.height and element.x >= label.x + label.width - _SLACK


async def _line(scene: Scene, text: str) -> Reply:
    """The one line that holds the text: of what the last command wrote, else of what can be read on the screen."""
    if (picked := scene.here.get("picked")) in (offered := scene.here.get("lines", {})):
        return _kept(scene, offered[picked])
    texts = _lines_with(text, scene.output or "") or _lines_with(text, await scene.session.text())
    lines = cleared(texts, scene.context.secrets)  # they are offered to people, too
    if len(lines) == 1:
        return _kept(scene, lines[0])
    if not lines:
        message = f'No line with "{short(text, 100)}" can be read.'
        return stuck(
            scene,
            "target",
            message,
            [person_questions.RETRY, person_questions.SKIP, person_questions.TAKE_OVER, person_questions.STOP],
        )
    labels = {f'{number}: "{short(line, 100)}"': line for number, line in enumerate(lines[:MOST_CANDIDATES], 1)}
    more = f" The first {len(labels)} are offered." if len(lines) > len(labels) else ""
    message = f'{len(lines)} lines hold "{short(text, 100)}".{more} Which one is meant?'
    question = stuck(
        scene, "choice", message, [*labels, person_questions.SKIP, person_questions.TAKE_OVER, person_questions.STOP]
    )
    return replace(question, here={"lines": labels})


def _lines_with(text: str, page: str) -> list[str]:
    """Each once: lines that read the same are the same answer."""
    needle = normal(text)
    lines = (line.strip() for line in page.splitlines())
    return list(dict.fromkeys(line for line in lines if needle and needle in normal(line)))


def _kept(scene: Scene, text: str) -> Reply:
    """The step is a fresh picture, which shows where the text comes from."""
    name = scene.params["saved_as"]
    if not 1 <= len(name) <= LONGEST_NAME:
        return fail(f'A name has 1 to {LONGEST_NAME} characters, not {len(name)}: "{short(name, 100)}".')
    text = cleared(text, scene.context.secrets)
    words = f'Remembered as {name}: "{short(text, 200)}".'
    return Reply(Act(Action("screenshot")), words, lasting={"remembered": {name: text}})


# The end


def output_of(remembered: Mapping[str, str], schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What was remembered, as the run hands it over; None for nothing where nothing is expected.

    With a schema a text becomes the number or boolean that is expected in its place, where it is one.
    """
    if schema is None:
        return dict(remembered) or None
    return {name: _converted(text, _types(name, schema)) for name, text in remembered.items()}


def _types(name: str, schema: Any) -> Sequence[str]:
    """The types that the schema's property of this name may have, as far as it says so plainly."""
    properties = _resolved(schema, schema).get("properties")
    own = _resolved(properties.get(name) if isinstance(properties, dict) else None, schema)
    types = own.get("type")
    return [types] if isinstance(types, str) else types if isinstance(types, list) else []


def _resolved(part: Any, schema: Any) -> dict[str, Any]:
    for _ in range(10):  # references may follow one another
        if not isinstance(part, dict) or not isinstance(part.get("$ref"), str):
            break
        part = referred(part["$ref"], schema)
    return part if isinstance(part, dict) else {}


def _converted(text: str, types: Sequence[str]) -> Any:
    if "string" in types:
        return text
    word = text.strip()
    if ("integer" in types or "number" in types) and _INTEGER.fullmatch(word):
        return int(word)
    if "number" in types and _NUMBER.fullmatch(word):
        return float(word)
    return _BOOLEANS.get(word.lower(), text) if "boolean" in types else text
