"""POST /v1/ground: by reading the picture, then by a model, and never a guess."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.own_processes import command_of, wait_until
from inference.errors import ModelBusy, ModelRefused
from inference.ground import ocr
from inference.ground.ocr import Line, Word
from inference.ground.text_search import TextMatch, locate, phrases
from inference.models import Call
from inference.wires.base import Check, Thought, Wanted
from tests.cast import Api, Cast
from tests.conventions.conftest import locs, only, refused
from tests.inference.shots import answering, png, shot, written
from tests.inference.wire import click, says

SECONDS = 60
reads = pytest.mark.skipif(not ocr.installed(), reason="the extra ocr is not installed")


def line(text: str, box: tuple[int, int, int, int], score: float = 0.99, *words: tuple[str, float]) -> Line:
    """Its words share the box evenly."""
    pairs = words or tuple((word, score) for word in text.split())
    left, top, right, bottom = box
    step = (right - left) / max(1, len(pairs))
    parts = [Word(t, s, (left + n * step, top, left + (n + 1) * step, bottom)) for n, (t, s) in enumerate(pairs)]
    return Line(text, score, box, tuple(parts))


SCREEN = [
    line("Home Pricing Docs", (0, 0, 300, 20)), line("Save", (100, 100, 140, 120)), line("Name:", (0, 200, 50, 220)),
    line("Cancel order", (0, 300, 100, 320)), line("Cancel", (200, 300, 260, 320)), line("Delete", (0, 400, 60, 420), 0.7),
    line("7", (0, 500, 10, 510), 0.9), line("8", (20, 500, 30, 510), 0.97), line("Print", (300, 100, 340, 120)),
    line("Print", (300, 400, 340, 420), 0.6), line("1", (0, 600, 9, 610)), line("1", (20, 600, 29, 610)),
]  # fmt: skip


class TestLocating:
    @pytest.mark.parametrize(("element", "point"), [
        ("Save", (120, 110)), ("save", (120, 110)), ("the Save button", (120, 110)),
        ('the "Save" button', (120, 110)), ("“Save”", (120, 110)),
        ("Pricing", (150, 10)), ("the Docs link", (250, 10)), ("Home Pricing", (100, 10)), ("Name", (25, 210)), ("Cancel order", (50, 310)),
        ("8", (25, 505)),
    ])  # fmt: skip
    def test_what_stands_there_once(self, element: str, point: tuple[int, int]) -> None:
        assert locate(SCREEN, element) == TextMatch("found", point)

    @pytest.mark.parametrize("element", ["Cancel", "the Cancel button", "Delete", "7", "Print", "1"])
    def test_twice_or_in_doubt(self, element: str) -> None:
        """A second place counts even where it is read badly: the first one is not the only one then."""
        assert locate(SCREEN, element).state == "ambiguous"

    @pytest.mark.parametrize("element", [
        "Sav", "ave", "Savee", "Home Docs", "the Name field", "the Save icon", "the button next to Save", 'the icon beside "Save"',
        '"Save" and "Print"', "", " ", "…", "x" * 201, "the button", "second Save",
    ])  # fmt: skip
    def test_what_reading_cannot_know(self, element: str) -> None:
        assert locate(SCREEN, element).state == "absent"

    @given(st.text(max_size=300))
    def test_any_words_are_taken(self, element: str) -> None:
        match = locate(SCREEN, element)
        assert match.state in {"found", "ambiguous", "absent"}
        assert len(list(phrases(element))) <= 2


pytestmark = pytest.mark.django_db


def body(picture: str = "", element: str = "Save", **more: Any) -> dict[str, Any]:
    return {"screenshot": picture or shot(), "element": element} | more


class TestByAModel:
    """An element that no reading finds."""

    ICON = "the icon of a disk"

    def test_the_middle_that_it_points_at(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        wire = answering(monkeypatch, click(640, 360))
        answer = live.post("/ground", body(element=self.ICON))
        found = answer.json()
        assert found.keys() == {"x", "y", "screen_width", "screen_height", "usage", "request_id"}
        assert (found["x"], found["y"], found["screen_width"], found["screen_height"]) == (960, 540, 1920, 1080)
        assert found["usage"] | {"input_tokens": 1000, "output_tokens": 10, "cost_cents": 3} == found["usage"]
        assert (answer["X-Credits-Charged"], answer["X-Credits-Remaining"]) == ("3", "9997")
        (request,) = wire.requests
        assert request.actions == {"click"}
        assert [tool.name for tool in request.tools] == ["not_there"]
        assert self.ICON in request.log[0]["task"]
        assert Call.objects.get().purpose == "ground"

    def test_it_says_that_there_is_none(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        absent = Wanted("c", "tool", "not_there", {"reason": "Two disks are there."})
        answering(monkeypatch, Thought(({"s": 1},), "calls", (absent,)))
        error = refused(live.post("/ground", body(element=self.ICON)), 500, "GROUNDING_FAILED")
        assert (error["reason_code"], "Two disks" in error["message"]) == ("element_not_found", True)
        assert live.get("/billing/balance").json()["available_cents"] == 10_000

    @pytest.mark.parametrize("move", [
        click(1280, 5), Thought(({"s": 1},), "calls", (Wanted("a", "act", "wait", {"ms": 1}),)), says("At the top."),
        Thought(({"s": 1},), "calls", (Wanted("a", "act", "click", {"x": 1, "y": 1}), Wanted("b", "act", "click", {"x": 9, "y": 9}))),
        Thought(({"s": 1},), "calls", (Wanted("a", "act", "click", {"x": 1, "y": 1}, checks=(Check("1", "c", "m"),)),)),
    ])  # fmt: skip
    def test_what_is_no_point_is_no_answer(self, live: Api, monkeypatch: pytest.MonkeyPatch, move: Thought) -> None:
        answering(monkeypatch, move)
        refused(live.post("/ground", body(element=self.ICON)), 500, "GROUNDING_FAILED")
        balance = live.get("/billing/balance").json()
        assert (balance["available_cents"], balance["held_cents"]) == (10_000, 0)

    def test_it_refuses(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, ModelRefused("I will not."))
        assert (
            refused(live.post("/ground", body(element=self.ICON)), 500, "GROUNDING_FAILED")["reason_code"]
            == "model_refused"
        )

    def test_it_is_busy(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        answering(monkeypatch, ModelBusy("Later.", 2))
        refused(live.post("/ground", body(element=self.ICON)), 503, "UPSTREAM_UNAVAILABLE")

    def test_a_text_that_stands_there_twice_is_asked_of_the_model(
        self, live: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wire = answering(monkeypatch, click(10, 10))

        async def twice(_: bytes) -> list[Line]:
            return [line("Save", (0, 0, 9, 9)), line("Save", (50, 50, 59, 59))]

        monkeypatch.setattr(ocr, "read_text", twice)
        monkeypatch.setattr(ocr, "installed", lambda: True)
        assert live.post("/ground", body()).status_code == 200
        assert len(wire.requests) == 1

    def test_a_reader_that_fails_leaves_it_to_the_model(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(_: bytes) -> list[Line]:
            raise ocr.OcrFailed("gone")

        monkeypatch.setattr(ocr, "read_text", broken)
        monkeypatch.setattr(ocr, "installed", lambda: True)
        refused(live.post("/ground", body()), 503, "UPSTREAM_UNAVAILABLE")
        answering(monkeypatch, click(10, 10))
        assert live.post("/ground", body()).status_code == 200


class TestWithoutTheExtra:
    def test_and_without_a_model_it_is_named(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ocr, "find_spec", lambda name: None)
        error = refused(live.post("/ground", body()), 503, "UPSTREAM_UNAVAILABLE")
        assert (error["reason_code"], "“ocr”" in error["message"]) == ("no_ocr", True)
        assert live.get("/billing/ledger").json()["data"][0]["type"] == "topup"

    def test_the_model_is_asked(self, live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ocr, "find_spec", lambda name: None)
        answering(monkeypatch, click(1, 1))
        assert live.post("/ground", body()).status_code == 200


def test_the_test_world(test_key: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = answering(monkeypatch, click(1, 1))
    sent = body(screen_width=640, screen_height=480)
    one, two = (test_key.post("/ground", sent).json() for _ in range(2))
    other = test_key.post("/ground", body(element="Other", screen_width=640, screen_height=480)).json()
    assert (one["x"], one["y"]) == (two["x"], two["y"]) != (other["x"], other["y"])
    assert 0 <= one["x"] < 640
    assert 0 <= one["y"] < 480
    assert one["usage"]["billed"] is False
    assert wire.requests == []


@pytest.mark.parametrize(("more", "loc"), [
    ({"element": ""}, ["element"]), ({"element": "x" * 32_001}, ["element"]), ({"element": None}, ["element"]),
    ({"screenshot": None}, ["screenshot"]), ({"screen_width": 1}, ["screen_width"]), ({"instruction": "x"}, ["instruction"]),
])  # fmt: skip
def test_bodies_that_are_refused(test_key: Api, more: dict[str, Any], loc: list[str]) -> None:
    assert ["body", *loc] in locs(test_key.post("/ground", body() | more))


def test_screenshots_and_scope(cast: Cast) -> None:
    api = only(cast, "ground", test=True)
    refused(api.post("/ground", body("x" * 100)), 422, "INVALID_SCREENSHOT")
    refused(api.post("/ground", body("A" * 10_485_761)), 413, "PAYLOAD_TOO_LARGE")
    assert api.post("/ground", body(element="x" * 32_000)).status_code == 200
    assert refused(only(cast, "parse").post("/ground", body()), 403, "INSUFFICIENT_SCOPE")["required_scope"] == "ground"


PAGE = written((40, 40, "Home   Pricing   Docs"), (100, 200, "Save"), (400, 200, "Cancel"), (400, 300, "Cancel"))


@pytest.fixture
def child(settings: Any, tmp_path: Path) -> Iterator[None]:
    """An installation of our own: there is one reader in each."""
    ocr.stop()
    settings.DATA_DIR = tmp_path
    yield
    ocr.stop()


def elsewhere(code: str, folder: Path) -> str:
    """What this prints in another process of that installation."""
    more = {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATA_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", f"import asyncio, os, sys, django; django.setup(); {code}"], env=os.environ | more, capture_output=True,
        text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def pid() -> int:
    (found,) = [each.pid for each in ocr._children if each.poll() is None]
    return found


@reads
@pytest.mark.slow
@pytest.mark.usefixtures("child")
class TestByReading:
    """The real reader, in its process."""

    def test_texts_of_a_picture(self, live: Api) -> None:
        for element, x, y in (("Save", 124, 212), ("the Pricing link", 160, 52), ('"Docs"', 268, 52)):
            answer = live.post("/ground", body(PAGE, element, screen_width=640, screen_height=360))
            assert answer.status_code == 200, answer.content
            found = answer.json()
            assert abs(found["x"] - x) < 15, element
            assert abs(found["y"] - y) < 8, element
        doubled = live.post("/ground", body(PAGE, "Save", screen_width=1280, screen_height=720)).json()
        assert abs(doubled["x"] - 248) < 20
        assert found["usage"]["cost_cents"] == 3
        assert not Call.objects.exists()
        first = pid()
        error = refused(live.post("/ground", body(PAGE, "Cancel")), 500, "GROUNDING_FAILED")
        assert error["reason_code"] == "element_ambiguous"
        for absent in ("Checkout", "the icon of a disk", "the search field"):
            error = refused(live.post("/ground", body(PAGE, absent)), 500, "GROUNDING_FAILED")
            assert error["reason_code"] == "element_not_found"
        assert pid() == first
        assert live.get("/billing/balance").json()["available_cents"] == 9_988

    async def test_one_process_for_many_and_another_when_it_has_died(self) -> None:
        pictures = [png(200, 100 + n) for n in range(3)]
        assert await asyncio.gather(*(ocr.read_text(picture) for picture in pictures)) == [[], [], []]
        first = pid()
        os.kill(first, signal.SIGKILL)
        assert await ocr.read_text(png(200, 90)) == []
        assert pid() != first

    async def test_other_processes_use_it_too(self, tmp_path: Path) -> None:
        await ocr.read_text(png(200, 100))
        code = (
            "from inference.ground import ocr; from tests.inference.shots import png;"
            "print(asyncio.run(ocr.read_text(png(200, 101))), len(ocr._children))"
        )
        assert await asyncio.to_thread(elsewhere, code, tmp_path) == "[] 0"

    async def test_it_ends_when_nobody_asks_and_knows_none_of_our_secrets(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret")
        monkeypatch.setattr(ocr, "IDLE_SECONDS", 0.5)
        await ocr.read_text(png(200, 100))
        child = ocr._children[-1]
        seen = await asyncio.to_thread(Path(f"/proc/{child.pid}/environ").read_bytes)
        assert b"sk-ant-secret" not in seen
        assert await asyncio.to_thread(wait_until, lambda: child.poll() is not None, SECONDS)

    def test_it_ends_with_the_process_that_started_it(self, tmp_path: Path) -> None:
        code = (
            "from inference.ground import ocr; from tests.inference.shots import png; asyncio.run(ocr.read_text(png(200, 102)));"
            "print(ocr._children[0].pid, flush=True); os._exit(0)"
        )
        reader = int(elsewhere(code, tmp_path))
        assert wait_until(lambda: not command_of(reader), SECONDS)


def test_nothing_of_the_reader_is_loaded_in_a_web_process(tmp_path: Path) -> None:
    heavy = "{'rapidocr', 'onnxruntime', 'cv2', 'numpy'}"
    code = f"import config.urls; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    assert elsewhere(code, tmp_path) == "[]"
