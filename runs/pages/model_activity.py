"""What the model of a run thought, looked at and took: for its page. Runs without a model cost no query here."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Q, Sum
from django.db.models.fields.json import KT
from django.db.models.functions import Left

from inference.models import Call, Profile
from inference.profiles.vendors import VENDORS
from runs.models import Look, Run, RunEvent, Step

PAID = ("ok", "abandoned")  # statuses of calls that the vendor takes money for, as far as we know
IN_ROW = 1500  # characters of a thought in the list of steps; the page of its step shows more
AT_STEP = 20_000


@dataclass(frozen=True)
class Use:
    """What calls of a model took. None: the vendor said nothing of it. `unknown`: calls whose cost nobody knows; `microcents`
    is without them. `seconds`: how long they were waited for."""

    calls: int = 0
    unanswered: int = 0
    input: int | None = None
    cached: int | None = None
    output: int | None = None
    reasoning: int | None = None
    microcents: int | None = None
    unknown: int = 0
    seconds: float = 0.0

    @staticmethod
    def of(calls: Iterable[Call]) -> "Use":
        rows = list(calls)
        return Use(
            len(rows),
            sum(row.status != "ok" for row in rows),
            _sum(row.input_tokens for row in rows),
            _sum(row.cached_tokens for row in rows),
            _sum(row.output_tokens for row in rows),
            _sum(row.reasoning_tokens for row in rows),
            _sum(row.cost_microcents for row in rows),
            sum(row.cost_microcents is None and row.status in PAID for row in rows),
            sum((row.ended_at - row.started_at).total_seconds() for row in rows),
        )


def _sum(values: Iterable[int | None]) -> int | None:
    numbers = [value for value in values if value is not None]
    return sum(numbers) if numbers else None


@dataclass
class Thinking:
    """What led to one row of the page. `words`: what the model said besides the row's own text; `cut`: a thought is longer
    than what is shown. `problems`: why calls got no answer."""

    words: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    cut: bool = False

    @property
    def use(self) -> Use:
        return Use.of(self.calls)

    @property
    def problems(self) -> list[Call]:
        return [call for call in self.calls if call.status != "ok"]

    @property
    def is_empty(self) -> bool:
        return not (self.words or self.reasoning or self.looks or self.calls)

    def without(self, shown: str) -> "Thinking":
        """Without the words that the row shows itself."""
        self.words = [text for text in self.words if text.strip() and text.strip() not in shown]
        return self


class Story:
    """Thoughts, looks and calls of a run in the order in which they happened, to be handed out row by row."""

    def __init__(
        self, run: Run, after: datetime | None = None, until: datetime | None = None, most: int = IN_ROW
    ) -> None:
        self.most = most
        window = _window("created_at", after, until)
        events = RunEvent.objects.filter(window, run=run, type__in=("reasoning", "text")).exclude(data__has_key="by")
        texts = events.order_by("seq").values_list("created_at", "type", Left(KT("data__text"), most + 1))
        items: list[tuple[datetime, Any]] = [(at, (kind, text or "")) for at, kind, text in texts]
        items += [
            (look.taken_at, look) for look in run.looks.filter(_window("taken_at", after, until)).order_by("number")
        ]
        calls = Call.objects.filter(_window("ended_at", after, until), run_id=run.id).order_by("started_at")
        self.calls = list(calls)
        items += [(call.ended_at, call) for call in self.calls if call.purpose != "verify"]
        self._items = sorted(items, key=lambda item: item[0])
        self._next = 0

    def before(self, at: datetime | None) -> Thinking:
        """What happened since the row before this one; None: all that is left."""
        thinking = Thinking()
        while self._next < len(self._items) and (at is None or self._items[self._next][0] <= at):
            self._add(thinking, self._items[self._next][1])
            self._next += 1
        return thinking

    def verifying(self) -> Use:
        return Use.of(call for call in self.calls if call.purpose == "verify")

    def _add(self, thinking: Thinking, item: Any) -> None:
        if isinstance(item, Look):
            thinking.looks.append(item)
        elif isinstance(item, Call):
            thinking.calls.append(item)
        else:
            kind, text = item
            thinking.cut = thinking.cut or len(text) > self.most
            (thinking.reasoning if kind == "reasoning" else thinking.words).append(text[: self.most])


def _window(name: str, after: datetime | None, until: datetime | None) -> Q:
    window = Q(**{f"{name}__gt": after}) if after else Q()
    return window & Q(**{f"{name}__lte": until}) if until else window


def story_since(run: Run, first: Step | None) -> Story:
    """What belongs to the rows from this step on; None: to all."""
    return Story(run, after=_start_before(run, first) if first else None)


def thinking_at(run: Run, step: Step) -> Thinking:
    """What led to one step, at more length."""
    story = Story(run, after=_start_before(run, step), until=step.started_at, most=AT_STEP)
    return story.before(None).without(step.text)


def _start_before(run: Run, step: Step) -> datetime | None:
    return Step.objects.filter(run=run, started_at__lt=step.started_at).aggregate(at=Max("started_at"))["at"]  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Totals:
    """`model` and `wire` as the newest call of the run's own profile had them (a verifier has its own), or as the profile has
    them now; "" for a profile that is gone."""

    use: Use
    model: str
    wire: str
    acted: float  # seconds
    last_problem: str | None  # of the newest call, when it got no answer

    @property
    def kind(self) -> str:
        vendor = VENDORS.get(self.wire)
        return vendor.title if vendor else self.wire


def totals_of(run: Run) -> Totals:
    calls = Call.objects.filter(run_id=run.id)
    waited = ExpressionWrapper(F("ended_at") - F("started_at"), output_field=DurationField())
    sums = calls.aggregate(
        calls=Count("id"),
        unanswered=Count("id", filter=~Q(status="ok")),
        input=Sum("input_tokens"),
        cached=Sum("cached_tokens"),
        output=Sum("output_tokens"),
        reasoning=Sum("reasoning_tokens"),
        microcents=Sum("cost_microcents"),
        unknown=Count("id", filter=Q(cost_microcents__isnull=True, status__in=PAID)),
        waited=Sum(waited),
    )
    seconds = sums.pop("waited")
    last = calls.order_by("-started_at").first()
    source = (
        calls.filter(profile=run.agent).order_by("-started_at").first()
        or Profile.objects.filter(name=run.agent).first()
    )
    acting = ExpressionWrapper(F("finished_at") - F("started_at"), output_field=DurationField())
    acted = Step.objects.filter(run=run, finished_at__isnull=False).aggregate(time=Sum(acting))["time"]
    return Totals(
        Use(**sums, seconds=seconds.total_seconds() if seconds else 0.0),
        source.model if source else "",
        source.wire if source else "",
        acted.total_seconds() if acted else 0.0,
        (last.why or "no reason given") if last and last.status != "ok" else None,
    )


def evidence_of(run: Run) -> list[str]:
    """What the verifier says that it saw, of a run that has ended."""
    events = RunEvent.objects.filter(run=run, type="reasoning", data__by="verifier").order_by("-seq")
    data = events.values_list("data", flat=True).first()
    return data["text"].splitlines() if data else []
