"""The language that a profile's model speaks: what it is told of its functions, and what its answers call for.

Options: dialect (tools, qwen, uitars, pyautogui, json_point) is the words, tools (native, json_schema, text) the way in which they
are carried; uitars, pyautogui and json_point are always text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from inference.dialects import json_point, own_tools, pyautogui, qwen, uitars
from inference.dialects.tool_calls import POINTS, Call, Json, Point, Reading, bad, is_number
from inference.wires import key_spellings, scaling
from inference.wires.base import Request, Tool, Wanted

_PROGRAMS: dict[str, Any] = {"uitars": uitars, "pyautogui": pyautogui, "json_point": json_point}
_KEYS = frozenset({"key_press", "key_combo"})
NO_CALL = (
    "Not executed: your answer calls no function. Call one of your functions; when the task has ended, call finish."
)
IN_TEXT = "Not executed: you wrote a call into the text. Use your functions as tools instead of writing them down."


@dataclass(frozen=True)
class Language:
    dialect: str = "tools"
    carried: str = "native"
    grid: int | None = scaling.THOUSAND  # None: pixels of the picture

    @staticmethod
    def of(options: Mapping[str, Any]) -> "Language":
        """Where the profile says nothing points are 0-1000, as most open models answer today."""
        dialect = options.get("dialect", "tools")
        carried = "text" if dialect in _PROGRAMS else options.get("tools", "native")
        grid = scaling.THOUSAND if options.get("coordinates", "thousand") == "thousand" else None
        return Language(dialect, carried, grid)

    @property
    def native(self) -> bool:
        return self.carried == "native"

    def where(self, request: Request) -> str:
        """In what points are counted, in words for the model."""
        if self.grid:
            return f"Points count from 0 to {self.grid} across the picture and from 0 to {self.grid} down it, whatever its size."
        view = request.view
        return f"Points are pixels of the picture, which is {view.sent_width} x {view.sent_height}."

    def functions(self, request: Request) -> list[Tool]:
        """Everything that may be called by name and arguments, in fixed order. A name stands once; the agent's counts."""
        own = {tool.name for tool in request.tools}
        screen = [one for one in self._screen(request) if one.name not in own] if request.computer else []
        return [*screen, *request.tools]

    def _screen(self, request: Request) -> list[Tool]:
        offered = own_tools.screen_tools(request.actions, self.where(request))
        if self.dialect == "qwen":
            finish = any(tool.name == "finish" for tool in request.tools)
            one = qwen.tool(request.actions, self.where(request), finish)
            return [one, *(tool for tool in offered if tool.name not in {*qwen.COVERED, "screenshot"})]
        if self.dialect in {"uitars", "pyautogui"}:
            return [tool for tool in offered if tool.name not in _PROGRAMS[self.dialect].COVERED]
        return offered

    def system(self, request: Request) -> str:
        """What is said of all this in the system prompt."""
        functions = self.functions(request)
        if not functions or request.schema is not None:
            return self._schema_in_words(request)
        if self.native:
            return ""
        if self.dialect in _PROGRAMS:
            prompt: str = _PROGRAMS[self.dialect].prompt(sorted(request.actions), functions, self.where(request))
            return prompt
        if self.carried == "text":
            return own_tools.prompt(functions)
        lines = "\n".join(f"- {one.name}: {one.description}" for one in functions)
        return f"Answer with one JSON object: thought, and calls of these functions in their order:\n{lines}"

    def _schema_in_words(self, request: Request) -> str:
        if request.schema is None or self.carried != "text":
            return ""
        return f"Answer with one JSON object and nothing else. It has to fit this JSON Schema:\n{json.dumps(request.schema)}"

    def fields(self, request: Request) -> Json:
        """What of it the request has fields for."""
        if request.schema is not None:
            return {} if self.carried == "text" else {"response_format": _format("answer", request.schema)}
        functions = self.functions(request)
        if not functions or self.carried == "text":
            return {}
        if self.carried == "json_schema":
            return {"response_format": _format("calls", own_tools.answer_schema(functions))}
        return {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": one.name, "description": one.description, "parameters": one.schema},
                }
                for one in functions
            ]
        }

    def read(self, text: str, native: Sequence[Call], request: Request) -> Reading:
        """All that an answer calls for; what could not be read, and an answer that should have called, as words for the model."""
        functions = self.functions(request)
        if not functions or request.schema is not None:
            return Reading((), text)
        reading = self._read(text, native, functions, request)
        if not reading.calls:
            return Reading(
                (bad(IN_TEXT if self.native and own_tools.looks_like_call(text) else NO_CALL),), reading.text
            )
        return reading

    def _read(self, text: str, native: Sequence[Call], functions: Sequence[Tool], request: Request) -> Reading:
        pointer, middle = self._mouse(request)
        if self.dialect in _PROGRAMS:
            reading: Reading = _PROGRAMS[self.dialect].read(text, functions, pointer, middle)
            return reading
        if self.native:
            reading = Reading(tuple(native), text)
        else:
            reading = own_tools.read_tagged(text) if self.carried == "text" else own_tools.read_schema(text)
        if self.dialect != "qwen":
            return reading
        calls = (one for call in reading.calls for one in qwen.translated(call, pointer, middle))
        return replace(reading, calls=tuple(calls))

    def _mouse(self, request: Request) -> tuple[Point | None, Point]:
        """Where the pointer is and where the middle of the picture is, as the model counts."""
        view = request.view
        pointer = scaling.to_picture(view, *request.cursor, self.grid) if request.cursor else None
        return pointer, scaling.to_picture(view, view.width // 2, view.height // 2, self.grid)

    def wanted(self, call: Call, request: Request) -> Wanted:
        """The call as it is wanted, points in pixels of the screen."""
        if call.problem:
            return Wanted(call.id, "bad", call.name, problem=call.problem)
        if call.name in {tool.name for tool in request.tools}:
            return Wanted(call.id, "tool", call.name, call.params)
        if not request.computer or call.name not in {*request.actions, *own_tools.LOOKS}:
            names = ", ".join(one.name for one in self.functions(request))
            problem = f"Not executed: there is no function “{call.name[:64]}” here. There are: {names}."
            return Wanted(call.id, "bad", call.name[:64], problem=problem)
        try:
            name, params = (
                _pressed(call.params) if call.name in _KEYS else (call.name, self._placed(call.params, request))
            )
        except ValueError as problem:
            return Wanted(call.id, "bad", call.name, problem=f"Not executed: {problem}")
        if name == "zoom":
            return self._zoom(call, params)
        return Wanted(call.id, "look", name) if name in own_tools.LOOKS else Wanted(call.id, "act", name, params)

    def _zoom(self, call: Call, params: Json) -> Wanted:
        if (
            not {"x1", "y1", "x2", "y2"} <= params.keys()
            or params["x1"] == params["x2"]
            or params["y1"] == params["y2"]
        ):
            problem = "Not executed: zoom needs x1, y1, x2 and y2, two opposite corners."
            return Wanted(call.id, "bad", call.name, problem=problem)
        across, down = sorted((params["x1"], params["x2"])), sorted((params["y1"], params["y2"]))
        return Wanted(call.id, "look", "zoom", {"region": [across[0], down[0], across[1], down[1]]})

    def _placed(self, params: Json, request: Request) -> Json:
        """Points go to the screen. Raises ValueError with words for the model."""
        placed = dict(params)
        for names in POINTS:
            if not any(name in params for name in names):
                continue
            x, y = (params.get(name) for name in names)
            if not (is_number(x) and is_number(y)):
                raise ValueError(f"{names[0]} and {names[1]} have to be numbers.")
            point = scaling.to_screen(request.view, x, y, self.grid)
            if point is None:
                shown = ", ".join(f"{one:.6g}" if abs(one) < 1e15 else "…" for one in (x, y))
                raise ValueError(f"the point ({shown}) lies outside of the picture. {self.where(request)}")
            placed |= dict(zip(names, point, strict=True))
        return placed


def _pressed(params: Json) -> tuple[str, Json]:
    """Keys by our names. Raises ValueError."""
    names = params.get("keys", params.get("key"))
    if isinstance(names, str):
        names = key_spellings.split(names)
    if not isinstance(names, list) or {"key", "keys"} <= params.keys() or not params.keys() <= {"key", "keys"}:
        raise ValueError("name the key as key, or the keys as keys.")
    return key_spellings.action(names)


def _format(name: str, schema: Json) -> Json:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}
