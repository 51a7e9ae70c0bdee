"""The functions that a model has beside its hands: to ask people, to end, to read text. What a machine can do without a mouse is
offered by the wires, as ACTIONS says.

Their order never changes within a run: vendors bind what a model thought to the tools that it had.
"""

import json
from typing import Any

from inference.wires.base import Tool
from machines.actions.canonical import BROWSER_ONLY, TERMINAL_ONLY
from machines.drivers.storable import clean
from runs.agents.base import Ask, Context, Finish
from web.json_values import DEEPEST, deeper_than

HANDS = frozenset({"click", "type_text", "key_press", "key_combo", "scroll", "drag", "move", "wait"})
ACTIONS = {"browser": HANDS | BROWSER_ONLY, "terminal": HANDS | TERMINAL_ONLY, "simulated": HANDS}
TEXT = {"browser": "page_text", "terminal": "read_text"}
KINDS = ("question", "approval", "input", "takeover")
MOST_OPTIONS, MOST_FIELDS = 10, 20
_LONGEST, _LONGEST_NAME = 2000, 64
_SECRET_WORDS = ("password", "passphrase", "secret", "pin code", "api key")
_NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


class ToolError(ValueError):
    """The arguments are no use; the words are for the model."""


def tools_of(context: Context) -> tuple[Tool, ...]:
    kind = context.machine_kind
    return (
        *((_ASK,) if context.may_ask else ()),
        _finish(context.output_schema),
        *((_READ[kind],) if kind in _READ else ()),
    )


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_TEXT_TYPE = {"type": "string"}
_ASK = Tool(
    "ask_human",
    "Ask a person and wait for the answer. kind question: a question, with options to choose from where there are some; "
    "approval: may you go on; input: values that you need (fields: their names; secret: you get a handle to type); "
    "takeover: the person does something by hand, for example a captcha, and gives the machine back.",
    _object(
        ["question", "kind"],
        question={"type": "string", "description": "What the person reads."},
        kind={"type": "string", "enum": list(KINDS)},
        options={"type": "array", "items": _TEXT_TYPE, "description": "Answers to choose from (kind question)."},
        fields={
            "type": "array",
            "description": "The values that you need (kind input).",
            "items": _object(["name"], name=_TEXT_TYPE, secret={"type": "boolean"}),
        },
    ),
)
_READ = {
    "browser": Tool("page_text", "Read the text of the page, also what lies below the screen.", _NOTHING),
    "terminal": Tool("read_text", "Read the text of the terminal.", _NOTHING),
}


def _finish(schema: dict[str, Any] | None) -> Tool:
    output: dict[str, Any] = {"type": "string", "description": "What the task asks you to report, if it does."}
    if schema is not None and "$ref" not in json.dumps(schema):
        output = schema
    elif schema is not None:
        words = f"Must fit this JSON Schema: {json.dumps(schema, ensure_ascii=False)}"
        output = {"type": schema.get("type", "object"), "description": words}
    return Tool(
        "finish",
        "End the task. passed: whether everything that the task asks for is done, and you have seen on the screen that it is. "
        "summary: what was done and found, or why it could not be done.",
        _object(["passed", "summary"], passed={"type": "boolean"}, summary=_TEXT_TYPE, output=output),
    )


# --- what the model wants of them


def read_ask(params: dict[str, Any]) -> Ask:
    """Raises ToolError."""
    params = cleaned(params)
    question, kind = params.get("question"), params.get("kind", "question")
    if not isinstance(question, str) or not question.strip():
        raise ToolError("ask_human needs a question.")
    if kind not in KINDS:
        raise ToolError(f"kind must be one of {', '.join(KINDS)}.")
    question = _cut(question.strip())
    if kind == "question":
        return Ask(kind, question, [_question(question, params.get("options") or [])])
    if kind == "input":
        return Ask(kind, question, input_schema=_schema(params.get("fields") or []))
    return Ask(kind, question)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 5]}[...]"


def cleaned(value: Any) -> Any:
    """Without what nothing can store."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): cleaned(item) for key, item in value.items()}
    return [cleaned(item) for item in value] if isinstance(value, list) else value


def _question(text: str, options: Any) -> dict[str, Any]:
    if not isinstance(options, list) or len(options) > MOST_OPTIONS:
        raise ToolError(f"options must be a list of at most {MOST_OPTIONS} texts.")
    labels = list(
        dict.fromkeys(option.strip()[:200] for option in options if isinstance(option, str) and option.strip())
    )
    if len(labels) < len(options):
        raise ToolError("options must be different texts that are not empty.")
    return {
        "id": "answer",
        "header": "Question",
        "question": text,
        "multi_select": False,
        "allow_custom": True,
        "secret": False,
        "options": [{"label": label, "description": "", "recommended": False} for label in labels],
    }


def _schema(wanted: Any) -> dict[str, Any]:
    if not isinstance(wanted, list) or len(wanted) > MOST_FIELDS:
        raise ToolError(f"fields must be a list of at most {MOST_FIELDS} objects with a name.")
    properties: dict[str, Any] = {}
    for item in wanted:
        each = {"name": item} if isinstance(item, str) else item
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME or set(name) & set("{}."):
            raise ToolError(
                f"The name of a field has 1 to {_LONGEST_NAME} characters, none of them {{, }} or a full stop."
            )
        secret = bool(each.get("secret")) or any(word in name.lower() for word in _SECRET_WORDS)
        properties[name.strip()] = {"type": "string", **({"format": "password"} if secret else {})}
    properties = properties or {"value": {"type": "string"}}
    return {"type": "object", "properties": properties, "required": list(properties)}


def read_finish(params: dict[str, Any]) -> Finish:
    """Raises ToolError."""
    if deeper_than(params, DEEPEST):
        raise ToolError("The arguments are nested too deep.")
    params = cleaned(params)
    passed, summary = params.get("passed"), params.get("summary")
    if not isinstance(passed, bool):
        raise ToolError("finish needs passed: true or false.")
    if not isinstance(summary, str) or not summary.strip():
        raise ToolError("finish needs a summary.")
    return Finish(passed, _cut(summary.strip()), output=params.get("output"))
