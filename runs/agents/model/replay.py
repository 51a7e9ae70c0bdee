"""What became of the move that memory holds, and whether it is still the one to make.

A model's decision is asked for once. The move is returned, unchanged, until its outcome is known; which case it is, is told by
the step index that it was made for:

| step index now | what happened | then |
|---|---|---|
| its own | interrupted | its outcome is unknown; the rest of the answer is not executed |
| its own | people took over, want another plan, or the machine was restarted | not executed, nor is the rest |
| its own | a person allowed or refused the action | the same action |
| its own | the open question was answered | that is its result |
| its own | nothing | the same move; an action only while the screen is about what it was |
| the next | | the machine's last word is its result |
"""

import json
from dataclasses import dataclass
from typing import Any

from inference.wires.base import Json, Wanted
from machines.drivers.base import ActResult
from runs.agents.action_summary import action_title
from runs.agents.base import Context, Message
from runs.agents.model import human_messages, moves, repetition
from runs.agents.model.agent_memory import State
from runs.agents.model.human_messages import News
from runs.agents.model.observation import MUCH, Observation

BY_PERSON = "a person worked on the machine or said something else first."
BY_RESTART = "the machine was restarted."
BY_SCREEN = "the screen has changed since you decided on this."
BY_FAILURE = "an action before it in the same answer was not done."
_RESTARTED = "The machine was restarted. Look at the screen anew."
_LONGEST_RESULT = 6000  # characters of one result
_SHELL = ("cleared", "line", "waits", "busy")
_OUTCOME_UNKNOWN = (
    "The outcome is unknown: the connection was lost while this was done. It may have happened or not. Look at the screen "
    "before you decide whether to do it again."
)


@dataclass(frozen=True)
class Settled:
    """`keep`: return the kept move. `verdict`: what people decided on the action that comes next. `stuck`: what is done again
    and again, in words. `reply`: the answer to the agent's own question, by `why`."""

    keep: bool = False
    verdict: Message | None = None
    stuck: str = ""
    why: str = ""
    reply: Message | None = None


async def settle(state: State, context: Context, observation: Observation) -> Settled:
    """Take in what happened since the move was returned. Changes `state`."""
    now = state.now
    news = News.of(context.messages, now)
    for words in news.words:
        state.tell(words)
    if context.restarted:
        state.notes.append(_RESTARTED)
    if now is None:
        return Settled(verdict=news.verdict)
    if context.step_index > now["step"]:
        return await _done(state, context, observation, news)
    if now["kind"] == "ask":
        return _open_question(state, news, context)
    if news.clears or (now["kind"] == "finish" and news.words):
        return _not_executed(state, BY_PERSON)
    if now["kind"] == "finish":
        return Settled(keep=True)
    return await _proposed(state, context, observation, news)


async def _proposed(state: State, context: Context, observation: Observation, news: News) -> Settled:
    """An action that was decided on, and maybe begun."""
    assert state.now is not None
    if context.interrupted:
        apply(state, news.verdict)
        _result(state, False, _OUTCOME_UNKNOWN if state.now.get("refused") is None else None)
        state.close_rest(BY_FAILURE)
        return Settled()
    if news.verdict is not None:
        apply(state, news.verdict)
        return Settled(keep=True)
    if context.restarted:
        return _not_executed(state, BY_RESTART)
    if await observation.changed(state.now["picture"]) > MUCH:
        return _not_executed(state, BY_SCREEN)
    return Settled(keep=True)


def apply(state: State, verdict: Message | None) -> None:
    """What a person decided on the action at hand is kept with it until its outcome is known."""
    now = state.now
    if now is None or verdict is None or now["kind"] != "act":
        return
    if verdict.verdict == "approve":
        edited = verdict.redacted.get("edited_action")
        now.update(approved=True, refused=None, note=str(verdict.redacted.get("note") or ""))
        if edited:
            now["edited"] = edited["params"]
    else:
        now.update(approved=False, refused=str(verdict.redacted.get("reason") or verdict.redacted.get("note") or ""))


def _result(state: State, ok: bool, text: str | None, last: ActResult | None = None) -> bool:
    """The kept action gets its result; the move is over."""
    now = state.now
    assert now is not None
    if text is None:
        ok, text = _outcome_in_words(now, last)
    state.now, state.begun = None, True
    state.record(now["act"]["name"], moves.done_params(now), "done" if ok else text)
    _tell(state, now, ok, text)
    return ok


def _tell(state: State, now: Json, ok: bool, text: str) -> None:
    """The result of what a move was made for. The call of a former episode is not there any more: words then."""
    if now["wanted"] is None:
        return
    wanted = Wanted.from_json(now["wanted"])
    if now["episode"] == state.episode:
        state.answer(wanted, ok, text, acknowledged=bool(now.get("approved")))
    else:
        state.notes.append(f"{wanted.name} {json.dumps(wanted.params, ensure_ascii=False)}: {text}")


def _not_executed(state: State, why: str) -> Settled:
    now = state.now
    if now is not None:
        _tell(state, now, False, f"Not executed: {why}")
    state.now = None
    state.close_rest(why)
    return Settled()


async def _done(state: State, context: Context, observation: Observation, news: News) -> Settled:
    """The step was counted: the machine's last word is the action's result."""
    now = state.now
    assert now is not None
    if now["kind"] != "act":
        return _not_executed(state, BY_PERSON)
    params, name = moves.done_params(now), now["act"]["name"]
    ok = _result(state, True, None, context.last)
    state.calls = state.looks = 0
    stuck = ""
    if now.get("refused") is None:
        after = await observation.picture()
        times = await repetition.times_done(
            state, context.run_id, name, params, now["picture"] or "", after, observation.share
        )
        if times >= repetition.SAY:
            state.notes.append(repetition.NUDGE.format(times=times))
        if times >= repetition.ASK:
            stuck = repetition.STUCK.format(times=times, what=action_title(name, params, None, None))
            state.close_rest(BY_FAILURE)
    if not ok:
        state.close_rest(BY_FAILURE)
    if context.interrupted:
        _interrupted_next(state, news)
    elif news.clears:
        state.close_rest(BY_PERSON)
    elif context.restarted and news.verdict is None:
        state.close_rest(BY_RESTART)
    return Settled(verdict=news.verdict, stuck=stuck)


def _interrupted_next(state: State, news: News) -> None:
    """The next action of the queue had been begun: it was not decided on by itself, so memory has it in the queue still."""
    waiting = [Wanted.from_json(kept) for kept in state.todo]
    begun = next((wanted for wanted in waiting if wanted.kind in ("act", "tool")), None)
    state.todo = []
    approved = news.verdict is not None and news.verdict.verdict == "approve"
    for wanted in waiting:
        text = _OUTCOME_UNKNOWN if wanted is begun else f"Not executed: {BY_FAILURE}"
        state.answer(wanted, False, text, acknowledged=wanted is begun and approved)


def _open_question(state: State, news: News, context: Context) -> Settled:
    """A question of the model, or of the agent itself (`wanted` is None then)."""
    now = state.now
    assert now is not None
    if news.reply is None and news.clears:
        return _not_executed(state, BY_PERSON)
    if news.reply is None:
        return Settled(keep=True)
    state.now, state.calls, state.looks = None, 0, 0
    if now["wanted"] is None:
        return Settled(why=now["why"], reply=news.reply)
    ok, text = human_messages.answer_of(news.reply)
    state.heard(now["ask"]["message"], text)
    _tell(state, now, ok, text)
    if context.interrupted:  # the next action of the answer had begun, on this very step
        _interrupted_next(state, news)
    elif not ok:
        state.close_rest(BY_FAILURE)
    elif news.reply.kind == "takeover" or news.clears:
        state.close_rest(BY_PERSON)
    return Settled(verdict=news.verdict)


def _outcome_in_words(now: Json, last: ActResult | None) -> tuple[bool, str]:
    """Whether it was done, and what is known of it. `now` says what people said of it."""
    if now.get("refused") is not None:
        reason = f" The reason: {now['refused']}" if now["refused"] else ""
        return False, f"Not executed: a person refused this.{reason}"
    words = [f"A person says: {now['note']}"] if now.get("note") else []
    if now.get("edited") is not None:
        words.append(f"A person changed this action; what was done is: {json.dumps(now['edited'], ensure_ascii=False)}")
    if last is None:
        return True, _joined([*words, "Done."])
    if not last.success:
        return False, _joined([*words, f"Failed: {last.error or 'no reason is known.'}", _details(last.data)])
    return True, _joined([*words, "Done.", _details(last.data)])


def _joined(parts: list[str]) -> str:
    text = "\n".join(filter(None, parts))
    return text if len(text) <= _LONGEST_RESULT else text[:_LONGEST_RESULT] + "\n[...]"


def _details(data: dict[str, Any]) -> str:
    """What the machine said besides: untrusted, like all of it."""
    if "finished" in data:
        code = data.get("exit_code")
        end = "It still runs." if not data["finished"] else f"Exit code: {code}." if code is not None else ""
        facts = [f"{key}: {data[key]}" for key in _SHELL if data.get(key)]
        return "\n".join(filter(None, [end, *facts, str(data.get("output") or "")]))
    rest = {key: value for key, value in data.items() if value not in (None, "", [], {})}
    return json.dumps(rest, ensure_ascii=False, default=str) if rest else ""
