"""What stands in the editor: two JSON texts and the fields beside them, and which line a violation is about. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from web.json_values import Detail, Loc
from workflows.definition.documents import slug_of
from workflows.definition.positions import START, Place, Text, read

DEFINITION, SCHEMA = "definition", "inputs_schema"  # the fields that are texts
FIELDS = ("name", "slug", "description", "budget_cents_month")
_OF_A_BODY = ("definition", "name", "slug")  # keys that tell a whole body from a definition


@dataclass(frozen=True)
class Problem:
    """`place` is null for a field that is no text; `where` names the value within its text."""

    field: str
    message: str
    severity: Literal["error", "warning"] = "error"
    place: Place | None = None
    where: str = ""


@dataclass(frozen=True)
class Draft:
    """`body` holds what could be read, as the API takes it. `whole`: the definition's text is a body of the API itself."""

    body: dict[str, Any]
    texts: dict[str, Text]
    whole: bool

    def unreadable(self) -> list[Problem]:
        return [Problem(name, text.problem, place=text.at) for name, text in self.texts.items() if text.problem]

    def problems(self, details: Iterable[Detail], severity: Literal["error", "warning"] = "error") -> list[Problem]:
        """Violations beside their lines. What a text lacks because it cannot be read is not said twice."""
        lost = {("body", name) for name, text in self.texts.items() if text.problem}
        return [self._problem(loc, message, severity) for loc, message, _kind in details if loc not in lost]

    def _problem(self, loc: Loc, message: str, severity: Literal["error", "warning"]) -> Problem:
        field, path = self._within(loc)
        text = self.texts.get(field)
        place = text.place(path) if text else None
        return Problem(field, message, severity, place, ".".join(map(str, path)))

    def _within(self, loc: Loc) -> tuple[str, Loc]:
        """The field that a violation is about, and the path in its text."""
        key = str(loc[1]) if len(loc) > 1 else DEFINITION
        if self.whole and (key in (DEFINITION, "steps", "output") or loc[1:2] in self.texts[DEFINITION].values):
            return DEFINITION, loc[1:]
        if key in self.texts:
            return key, loc[2:]
        return (key, ()) if key in FIELDS else (DEFINITION, loc[1:])


def read_draft(fields: Mapping[str, Any], *, new: bool) -> Draft:
    """`given`: name, slug, description, budget_cents_month and the two texts. An empty schema is none."""
    texts = {DEFINITION: read(fields[DEFINITION])}
    if fields[SCHEMA].strip():
        texts[SCHEMA] = read(fields[SCHEMA])
    beside = {name: fields[name] for name in FIELDS if fields.get(name) not in (None, "")}
    if new and "slug" not in beside and (slug := slug_of(beside.get("name", ""))):
        beside["slug"] = slug
    if not new:
        beside |= {"description": fields.get("description") or "", SCHEMA: {}}
    body = beside | {name: text.value for name, text in texts.items() if not text.problem}
    whole = _is_whole(body.get(DEFINITION))
    if whole:
        body = beside | body.pop(DEFINITION)
        if not new:
            body.pop("slug", None)
    return Draft(body, texts, whole)


def _is_whole(value: Any) -> bool:
    """Somebody pasted a body of the API, which holds the definition or its steps beside a name."""
    return isinstance(value, dict) and any(key in value for key in _OF_A_BODY)


def first_line(problem: Problem) -> int:
    return (problem.place or START).line
