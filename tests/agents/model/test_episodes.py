"""A conversation that becomes too long ends with a summary; the next one knows the task, what people said, and that."""

import json
from dataclasses import replace

import pytest

from inference.errors import ModelBusy
from inference.wires.base import Thought
from machines import pictures
from runs.agents.base import Finish
from runs.agents.model import conversation, old_logs
from tests.agents.model.fakes import SPEC, Run, Vendor, answered, click, finish, look, shas, thought_of, tool


async def test_forty_pictures_end_an_episode() -> None:
    clicks = [[click(10 + n)] for n in range(conversation.MOST_PICTURES)]
    run = Run(Vendor(*clicks, "So far 40 clicks.", [click(500)], [finish()]))
    assert isinstance(await run.play(), Finish)
    assert len(run.session.done) == conversation.MOST_PICTURES + 1
    assert run.vendor.purposes.count("summary") == 1
    assert run.state.episode == 2
    opening = run.vendor.log[0]
    assert "Buy milk" in opening["opening"]
    assert "So far 40 clicks." in opening["opening"]
    assert len(shas(opening)) == 1
    (old,) = run.state.old
    kept = old_logs.read(old)
    assert kept["episode"] == 1
    assert kept["log"][:-1] == run.vendor.requests[conversation.MOST_PICTURES].log
    assert len(run.calls) == len(run.vendor.requests)


async def test_no_more_than_so_many_pictures_are_ever_sent() -> None:
    run = Run(Vendor(*[[click(10 + n)] for n in range(39)], [look()], "Summary.", [finish()]))
    await run.play()
    acting = [r for r, purpose in zip(run.vendor.requests, run.vendor.purposes, strict=True) if purpose == "act"]
    assert max(len(shas(request.log)) for request in acting) <= conversation.MOST_PICTURES


async def test_a_long_log_ends_an_episode() -> None:
    big = replace(thought_of([click(10)], 1), items=({"calls": ["c10#1"], "n": 1, "thinking": "x" * 300_000},))
    run = Run(Vendor(big, "Much was thought.", [finish()]))
    await run.play()
    assert run.state.episode == 2
    assert len(json.dumps(run.memory)) < 64 * 1024
    summing, after = run.vendor.requests[1:]
    assert (summing.tools, summing.system, summing.computer) == (after.tools, after.system, after.computer)


async def test_a_full_window_ends_an_episode() -> None:
    run = Run(Vendor([click(10)], "Summary.", [click(20)], "Summary 2.", [finish()]))
    run.spec = replace(SPEC, options={"window": 150})  # each call takes 110 tokens
    await run.play()
    assert run.vendor.purposes == ["act", "summary", "act", "summary", "act"]


async def test_a_busy_model_at_a_summary_leaves_the_old_episode() -> None:
    clicks = [[click(10 + n)] for n in range(conversation.MOST_PICTURES)]
    run = Run(Vendor(*clicks, ModelBusy("Busy.", 1.0), "So far 40 clicks.", [finish()]))
    with pytest.raises(ModelBusy):
        await run.play()
    assert run.state.episode == 1
    assert isinstance(await run.play(), Finish)
    assert run.vendor.requests[-2].log == run.vendor.requests[-3].log
    assert run.points == list(range(10, 10 + conversation.MOST_PICTURES))


async def test_a_summary_without_words_is_what_is_known_without_the_model() -> None:
    clicks = [[click(10 + n)] for n in range(conversation.MOST_PICTURES)]
    run = Run(Vendor(*clicks, [click(1)], [finish()]))
    await run.play()
    assert '- click {"x": 49, "y": 50' in run.vendor.log[0]["opening"]
    assert run.points[-1] == 49


async def test_a_conversation_that_the_vendor_finds_too_long_begins_anew() -> None:
    run = Run(Vendor([click(10)], Thought((), "full"), [finish()]))
    assert isinstance(await run.play(), Finish)
    assert run.state.episode == 2
    assert "- click" in run.vendor.log[0]["opening"]


async def test_a_picture_that_is_gone_begins_a_new_episode_and_no_crash() -> None:
    run = Run(Vendor([tool("ask_human", question="Colour?", kind="question")], [click(10)], [finish()]))
    run.asked(await run.decide())
    (sha,) = shas(run.vendor.log)
    from django.core.files.storage import default_storage

    default_storage.delete(pictures.path_of(sha))
    pictures.forget()
    run.session.shows = "another"
    decision = await run.decide(answered("blue"))
    assert run.state.episode == 2
    assert "You asked: Colour? The person answered: blue" in run.vendor.requests[-1].log[0]["opening"]
    await run.do(decision)
    assert isinstance(await run.play(), Finish)


async def test_what_people_said_stands_in_the_new_episode() -> None:
    from tests.agents.model.fakes import message

    clicks = [[click(10 + n)] for n in range(conversation.MOST_PICTURES)]
    run = Run(Vendor(*clicks, "Summary.", [finish()]))
    await run.decide()
    run.vendor.turns.insert(0, [click(9)])
    await run.decide(message("takeover", "approve", note="Take the cheap one"))
    await run.play()
    assert "Take the cheap one" in run.vendor.log[0]["opening"]


async def test_a_profile_with_another_model_begins_anew_and_the_kept_action_stays() -> None:
    run = Run(Vendor([click(10), click(20)], [finish()]))
    shown = await run.decide()
    run.spec = replace(SPEC, model="fake-2")
    assert (await run.decide()).move == shown.move
    await run.do(await run.decide())
    assert isinstance(await run.play(), Finish)
    assert run.points == [10]
    assert run.state.episode == 2
    assert "Done." in run.vendor.notes
