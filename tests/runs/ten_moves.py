"""A model's story of ten moves (click, type, key, look, zoom, scroll, drag, ask, denied, edited, finish), the page that it is
played on, and the people who decide in it. What the machine did is asked of the machine.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from inference.models import Call, Profile
from inference.profiles.services import create_profile
from runs.agents.model.agent_memory import State
from runs.models import Run
from tests.agents.model.test_wires import needs
from tests.cast import Api, Cast
from tests.emulator.server import Emulator, in_thread
from tests.emulator.story import Story, Turn
from tests.runs.driving import Dying, Falling, begin, drive_all, drive_and_fall, request_of, show, status_of
from tests.runs.invariants import check_run
from tests.runs.thinker import ASKING

KEY = "sk-test-0123456789"


# Points that a grid of a thousand can name on a screen of 1280 x 800.
def click(x: int, y: int = 200) -> tuple[str, dict[str, Any]]:
    return "click", {"x": x, "y": y, "button": "left", "count": 1}


FIELD, DENIED, UNDONE, MEANT, MOVED = 64, 160, 320, 480, 640  # where the story and the people point
TURNS = [
    Turn([click(FIELD, 40), ("type_text", {"text": "mîlk"})], text="I look for milk.", thinking="The field is at the top."),
    Turn([("key_press", {"key": "enter"})], thinking="Now send it."),
    Turn([("screenshot", {})], thinking="I look."),
    Turn([("zoom", {"region": [0, 0, 640, 400]})], thinking="Closer."),
    Turn([("scroll", {"x": 640, "y": 600, "direction": "down", "amount": 2})], thinking="Further down."),
    Turn([("drag", {"from_x": 64, "from_y": 400, "to_x": 192, "to_y": 480})], thinking="There."),
    Turn([("ask_human", {"question": "Which one?", "kind": "question", "options": ["red", "blue"]})], thinking="I ask."),
    Turn([click(DENIED), click(UNDONE)], text="This one.", thinking="Red it is."),
    Turn([click(MEANT)], thinking="Another one."),
    Turn([("finish", {"passed": True, "summary": "Milk is bought."})], thinking="Done."),
]  # fmt: skip
CALLS = len(TURNS)
ACTIONS: list[tuple[str, int | None]] = [
    ("click", FIELD), ("type_text", None), ("key_press", None), ("scroll", 640), ("drag", None), ("click", MOVED),
]  # fmt: skip
BUTTON = "<button style='position:fixed;top:176px;left:{0}px;width:96px;height:48px'>Take {0}</button>"
PAGE = (
    "<!doctype html><meta charset=utf-8><title>Shop</title><style>body{margin:0;height:3000px}*{caret-color:transparent}</style>"
    "<input id=f aria-label=Find autocomplete=off style='position:fixed;left:32px;top:20px;width:320px;height:40px'>"
    + "".join(BUTTON.format(x - 32) for x in (DENIED, UNDONE, MEANT, MOVED))
    + "<script>const at = (e) => `${e.clientX},${e.clientY}`, inside = {passive: true, capture: true};"
    "const say = (words) => { const to = new XMLHttpRequest(); to.open('GET', '/heard?' + encodeURIComponent(words), false);"
    " to.send(); };"
    "let down = ''; addEventListener('mousedown', (e) => { down = at(e); }, true);"
    "addEventListener('mouseup', (e) => { if (at(e) !== down) say(`drag ${down} ${at(e)}`); }, true);"
    "addEventListener('click', (e) => { if (at(e) === down) say(`click ${at(e)}`); }, true);"
    "addEventListener('keydown', (e) => { if (e.key === 'Enter') say(`enter ${f.value}`); }, true);"
    "addEventListener('wheel', (e) => say(`wheel ${Math.sign(e.deltaY)}`), inside);</script>"
)
HEARD = [
    f"click {FIELD},40", "enter mîlk", "wheel 1", "drag 64,400 192,480", f"click {MOVED},200",
]  # fmt: skip


def story_for(wire: str, unknown: str = "", *before: Turn) -> Story:
    """Gemini cannot zoom: it looks once more. `before`: turns before the first."""
    turns = [*before, *TURNS]
    if wire == "gemini":
        closer = turns.index(TURNS[3])
        turns[closer] = replace(TURNS[3], wants=[("screenshot", {})])
    return Story(turns, unknown=unknown)


@contextmanager
def emulated(wire: str, stories: Mapping[str, Story], **more: Any) -> Iterator[Emulator]:
    """The emulator of one vendor. No request may break a rule."""
    needs(wire)
    with in_thread(Emulator(stories, wires=(wire,), **more)) as emulator:
        yield emulator
    assert emulator.refused == []


def profile(cast: Cast, emulator: Emulator, name: str = "eye", key: str = KEY, **limits: int) -> Profile:
    """A model profile that asks this emulator."""
    (wire,) = emulator.wires
    values = {
        "name": name, "wire": wire, "model": "model-1", "base_url": emulator.url(wire), "key": key, "options": {},
        "prices": {}, "limits": limits,
    }  # fmt: skip
    return create_profile(cast.actor(), values)


@dataclass
class Played:
    """What became of a run of the story."""

    run: dict[str, Any]
    log: list[Any]  # the transcript that the agent kept
    asked: int  # requests that reached the vendor
    calls: int  # of them that the run paid for


def decide_all(api: Api, run: dict[str, Any]) -> None:
    """The people of the story decide what is open now."""
    request = request_of(api, run)
    body: dict[str, Any] = {"verdict": "approve"}
    if request["kind"] == "question":
        body = {"verdict": "answer", "answers": {"answer": "red"}}
    elif request["action"]["params"].get("x") == DENIED:
        body = {"verdict": "reject", "note": "Not this one."}
    elif request["action"]["params"].get("x") == MEANT:
        body["edited_action"] = {"name": "click", "params": {**request["action"]["params"], "x": MOVED}}
    answer = api.post(f"/approvals/{request['id']}/decide", body)
    assert answer.status_code == 200, answer.content


def start(api: Api, machine: str, name: str, **more: Any) -> dict[str, Any]:
    return begin(api, f"Buy milk. story:{name}", machine_id=machine, agent="eye", **ASKING, **more)


def play(api: Api, emulator: Emulator, machine: str, name: str, *hosts: Falling | Dying) -> Played:
    """A run of the story, driven by the product's loop: its worker dies where the first of `hosts` says, the next one where
    the next one says, and so on; then it is driven to its end."""
    before = sum(emulator.requests.values())
    run = start(api, machine, name)
    while status_of(run["id"]) not in ("succeeded", "failed"):
        host = next((host for host in hosts if host.left > 0), None)
        if host is not None:
            drive_and_fall(host)
        else:
            drive_all()
        if status_of(run["id"]) == "awaiting_human":
            decide_all(api, run)
    check_run(run["id"])
    return Played(
        show(api, run["id"]),
        State.of(Run.objects.get(id=run["id"]).memory).log,
        sum(emulator.requests.values()) - before,
        Call.objects.filter(run_id=run["id"], status="ok").count(),
    )


def items_of(body: Any) -> list[Any]:
    """The conversation of a request, of any wire; marks of the vendor's cache are no part of it."""
    items = next(body[name] for name in ("messages", "input", "contents") if name in body)
    return [json.loads(json.dumps(_unmarked(item))) for item in items]


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unmarked(each) for key, each in value.items() if key != "cache_control"}
    return [_unmarked(each) for each in value] if isinstance(value, list) else value
