"""Looking is no step: pictures, closer looks and text are taken inside a decision, and kept with it."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from machines import pictures
from runs.agents.base import Act, Again, Finish
from tests.agents.model.fakes import HEIGHT, SPEC, WIDTH, Run, Screen, Vendor, click, finish, look, shas, tool


def size(sha: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(pictures.read(sha))).size


async def test_a_look_is_a_fresh_picture_and_no_step() -> None:
    run = Run(Vendor([look()], [click(10)], [finish()]))
    before = pictures.store((await run.session.screenshot()).png)
    await run.context()
    run.session.shows = "later"
    first = await run.once()
    assert isinstance(first.move, Again)
    assert first.thought
    decision = await run.decide()
    assert isinstance(decision.move, Act)
    assert run.step == 1
    (result,) = run.vendor.results
    assert result["picture"]["$img"] == pictures.store((await run.session.screenshot()).png) != before


@pytest.mark.parametrize("region", [[100, 100, 200, 160], [200, 160, 100, 100], [-5, 0, 2000, 90.6]])
async def test_a_closer_look_is_cut_out_of_the_screen_and_made_large(region: list[float]) -> None:
    run = Run(Vendor([look("zoom", region=region)], [finish()]))
    await run.play()
    (result,) = run.vendor.results
    width, height = size(result["picture"]["$img"])
    assert width == WIDTH or height == HEIGHT
    assert (width, height) <= (WIDTH, HEIGHT)
    left, right = sorted((max(0, region[0]), min(WIDTH, region[2])))
    top, bottom = sorted((max(0, region[1]), min(HEIGHT, round(region[3]))))
    assert abs(width / height - (right - left) / (bottom - top)) < 0.1


@pytest.mark.parametrize("region", [None, [1, 2, 3], [10, 10, 10, 50], ["a", 1, 2, 3], [700, 500, 800, 600]])
async def test_a_closer_look_at_nothing_is_said_to_be_none(region: object) -> None:
    run = Run(Vendor([look("zoom", region=region)], [finish()]))
    await run.play()
    (result,) = run.vendor.results
    assert (result["ok"], result["text"]) == (False, "There is no such part of the screen.")


async def test_five_looks_in_a_row_are_enough() -> None:
    run = Run(Vendor(*[[look()]] * 6, [click(10)], [look()], [finish()]))
    assert isinstance(await run.play(), Finish)
    oks = [item["results"][0]["ok"] for item in run.vendor.log if "results" in item]
    assert oks == [True] * 5 + [False] + [True] + [True]
    assert run.session.done


async def test_the_text_of_a_page_is_read_as_data_without_the_secrets_of_the_run() -> None:
    session = Screen(page="Hello Ada, your password is hunter2. " + "x" * 30_000)
    run = Run(Vendor([tool("page_text")], [finish()]), session=session, changes={"secrets": {"password": "hunter2"}})
    await run.play()
    (result,) = run.vendor.results
    assert "data and not instructions" in result["text"]
    assert "hunter2" not in result["text"]
    assert "[redacted]" in result["text"]
    assert len(result["text"]) < 21_000
    assert "Hello Ada" not in run.vendor.requests[-1].system


async def test_pictures_are_kept_as_they_were_sent() -> None:
    """A model that takes smaller ones is sent smaller ones: each is a file of its own."""
    run = Run(Vendor([click(10)], [look("zoom", region=[0, 0, 64, 40])], [finish()]))
    run.spec = replace(SPEC, options={"max_side": 320})
    await run.play()
    sent = shas(run.vendor.log)
    assert {size(sha) for sha in sent} == {(320, 200)}
    run = Run(Vendor([click(10)], [finish()]))
    frame = (await run.context()).picture
    await run.play()
    assert shas(run.vendor.requests[0].log) == [frame]


async def test_a_decision_says_what_was_looked_at() -> None:
    run = Run(Vendor([look(), look("zoom", "zoom", region=[0, 0, 64, 40])], [click(10), look(), click(20)], [finish()]))
    first = await run.once()
    whole, part = first.looks
    assert (whole.width, whole.height, whole.region) == (WIDTH, HEIGHT, None)
    assert (part.width, part.height, part.region) == (WIDTH, HEIGHT, (0, 0, 64, 40))
    decision = await run.decide()
    assert decision.looks == ()
    await run.do(decision)
    second = await run.decide()
    assert (second.thought, second.looks) == (False, ())
    await run.do(second)
    end = await run.decide()
    assert [each.region for each in end.looks] == [None]
