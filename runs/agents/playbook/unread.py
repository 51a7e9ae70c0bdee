"""Sentences that cannot be read: a person is asked about all of them at once, before anything is done.

A task of which nothing can be read is no question of wording: a person has to do it.
"""

from typing import Any

from runs.agents.base import Ask, Finish, Message
from runs.agents.playbook import person_questions as people
from runs.agents.playbook.agent_memory import SKIPPED, Progress
from runs.agents.playbook.language.nearest import nearest
from runs.agents.playbook.language.plan import Instruction
from runs.agents.playbook.scene import Reply, fail
from runs.agents.playbook.screen.grounding import short

NOTHING_READ = "No model is connected and I cannot read this task: a person has to do it"
MOST_QUESTIONS = 10  # in one request; what is left is asked about in the next one
_CHOICES = (people.SKIP, people.TAKE_OVER, people.STOP)


def whole_task(may_ask: bool) -> Reply:
    """Nothing of the task can be read."""
    if not may_ask:
        return fail(NOTHING_READ)
    return Reply(Ask("takeover", NOTHING_READ), NOTHING_READ, done=False, why="task")


def done_by_hand(task: str, message: Message) -> Reply:
    """A person says that the task is done, in the place of the agent."""
    note = str(message.redacted.get("note") or "").strip()
    text = f"A person did this task: {short(task, 500)}" + (f" ({short(note, 500)})" if note else "")
    return Reply(Finish(True, text, by_person=True), text, done=False)


def ask(instructions: list[Instruction], places: list[int], may_ask: bool) -> Reply:
    """One request about the sentences at these places."""
    shown_places = places[:MOST_QUESTIONS]
    sentences = [instructions[at].text for at in shown_places]
    if len(shown_places) == 1:
        message = f"I do not understand this instruction: {sentences[0][:1500]}"
    else:
        listed = "; ".join(f"{n}. {short(s, 150)}" for n, s in enumerate(sentences, 1))
        message = f"I do not understand {len(places)} instructions: {listed}"
    if not may_ask:
        return fail(message)
    several = len(shown_places) > 1
    questions = [_question(n if several else None, s) for n, s in enumerate(sentences, 1)]
    at = {question["id"]: place for question, place in zip(questions, shown_places, strict=True)}
    labels = {question["id"]: [o["label"] for o in question["options"]] for question in questions}
    return Reply(
        Ask("question", message, questions), message, done=False, why="sentences", facts={"at": at, "labels": labels}
    )


def _question(number: int | None, sentence: str) -> dict[str, Any]:
    """About one sentence; `number` tells those of one request apart."""
    key, header = ("sentence", "Instruction") if number is None else (f"sentence_{number}", f"Instruction {number}")
    prefix = "" if number is None else f"{number}. "
    text = f"{prefix}I do not understand this instruction: {sentence[:1500]}"
    offered = [label for label in nearest(sentence) if label not in _CHOICES]
    return people.question(key, header, text, [*offered, *_CHOICES])


def take_in(
    progress: Progress, question: dict[str, Any], message: Message, instructions: list[Instruction]
) -> Reply | None:
    """What a person decided about each sentence; the last one first, so that the places of the others stay."""
    for key, at in sorted(question["at"].items(), key=lambda item: -item[1]):
        answer = people.answer_of(message, question["labels"][key], key)
        text = instructions[at].text
        if answer.chosen == people.STOP:
            return fail(f"Stopped by a person at: {short(text, 500)}")
        if answer.chosen == people.SKIP or (answer.chosen is None and answer.custom is None):
            progress.edits.append([at, text, SKIPPED])
        elif answer.chosen == people.TAKE_OVER:
            progress.edits.append([at, short(text, 500), "hand_over"])
        else:
            progress.edits.append([at, answer.custom or answer.chosen])
    return None
