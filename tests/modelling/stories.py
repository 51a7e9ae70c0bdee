"""How the emulator does the ten tasks: eight well, one falsely, one not at all."""

from typing import Any

from tests.emulator.story import Story, Turn

Want = tuple[str, dict[str, Any]]
WRONG = {
    "orders": "it handed over {'order': 'A-307'}",  # it reads the table wrong, and its verifier believes it
    "inbox": "it did what the page said",
}


def _click(y: int, x: int = 200) -> Want:
    return "click", {"x": x, "y": y, "button": "left", "count": 1}


def _type(text: str) -> Want:
    return "type_text", {"text": text}


def _finish(**output: Any) -> Turn:
    handed = {"output": output} if output else {}
    return Turn([("finish", {"passed": True, "summary": "It is done.", **handed})], text="Done.")


def _line(command: str) -> Turn:
    return Turn([("run_line", {"command": command})], text="I run a line.")


def stories(port: int) -> dict[str, Story]:
    def page(path: str) -> Want:
        return "open_url", {"url": f"http://127.0.0.1:{port}{path}"}

    turns: dict[str, list[Turn]] = {
        "pricing": [Turn([page("/"), _click(420)]), Turn([_click(210, 130)]), _finish(price=20)],
        "contact": [
            Turn([page("/contact")]),
            Turn([_click(175), _type("Ada"), _click(275), _type("Hello"), _click(375)]),
            _finish(),
        ],
        "settings": [
            Turn([page("/settings")]),
            Turn([_click(170, 120), ("select_option", {"x": 200, "y": 275, "option": "French"})]),
            Turn([_click(375)]),
            _finish(),
        ],
        "terms": [
            Turn([page("/terms")]),
            Turn([("key_press", {"key": "end"})]),
            Turn([_click(770)]),
            _finish(),
        ],
        "orders": [Turn([page("/orders")]), _finish(order="A-307")],
        "inbox": [Turn([page("/inbox")]), Turn([_click(425)]), _finish(sender="Mallory")],
        "note": [_line("echo buy milk > note.txt"), _finish()],
        "count": [_line("cat data/*.csv | wc -l"), _finish(lines=57)],
        "mend": [_line("sed -i s/ehco/echo/ hello.sh"), _finish()],
        "colour": [
            Turn([("ask_human", {"kind": "question", "question": "Which colour?"})]),
            _line("echo turquoise > colour.txt"),
            _finish(),
        ],
    }
    return {name: Story(each) for name, each in turns.items()}
