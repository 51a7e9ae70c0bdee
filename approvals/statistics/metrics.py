"""What /metrics says of how people were asked in the last day: by world, policy, and who decided."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from accounts.actor import Actor
from accounts.models import Team
from approvals.statistics.access import statistics_of
from approvals.statistics.figures import Figures, Statistics

DAY = timedelta(days=1)
MOST_SERIES = 100  # of policies, and of people, in each team and world: those with the most requests
WORLDS = {False: "live", True: "test"}


class Gauge(NamedTuple):
    """`values`: by labels as Prometheus writes them."""

    name: str
    text: str
    values: dict[str, float]


def gauges(reader: Actor | None, now: datetime) -> list[Gauge]:
    """Totals of the installation; policies and people, by id, of what the reader may see: their own team and world. None is
    who watches the installation and sees all of them.
    """
    days = {
        (team_id, test): statistics_of(team_id, test, now - DAY, now)
        for team_id in Team.objects.values_list("id", flat=True)
        for test in WORLDS
    }
    seen = days if reader is None else {place: day for place, day in days.items() if _may_see(reader, *place)}
    return [*_of_worlds(days), *_of_policies(seen), *_of_people(seen)]


def _may_see(reader: Actor, team_id: str, test: bool) -> bool:
    return reader.may("approvals:read") and (reader.team_id, reader.test) == (team_id, test)


Days = dict[tuple[str, bool], Statistics]


def _of_worlds(days: Days) -> list[Gauge]:
    totals = {world: Figures() for world in WORLDS.values()}
    ended = dict.fromkeys(WORLDS.values(), 0)
    for (_, test), day in days.items():
        totals[WORLDS[test]].add(day.total)
        ended[WORLDS[test]] += day.ended_runs
    series = [(f'world="{world}"', figures) for world, figures in totals.items()]
    of_runs = {
        labels: figures.of_runs / ended[world]
        for world, (labels, figures) in zip(totals, series, strict=True)
        if ended[world]
    }
    return [
        *_shares("countersign_requests", "Requests to people in the last day", series),
        Gauge(
            "countersign_runs_ended",
            "Top-level runs that ended in the last day.",
            {f'world="{w}"': n for w, n in ended.items()},
        ),
        Gauge("countersign_requests_per_run", "Requests of runs for each run that ended in the last day.", of_runs),
    ]


def _of_policies(days: Days) -> list[Gauge]:
    series = [
        (f'policy="{policy_id}",world="{WORLDS[test]}"', figures)
        for (_, test), day in days.items()
        for policy_id, figures in _most(day.policies.items(), lambda figures: figures.asked)
    ]
    return _shares("countersign_policy_requests", "Requests that a policy asked for in the last day", series)


def _of_people(days: Days) -> list[Gauge]:
    series = [
        (f'decider="{decider_id}",world="{WORLDS[test]}"', figures)
        for (_, test), day in days.items()
        for decider_id, figures in _most(
            ((key, each.figures) for key, each in day.deciders.items()), lambda figures: figures.decided
        )
    ]
    return _shares("countersign_decider_requests", "Requests by who decided them, opened in the last day", series)


def _most(figures: Iterable[tuple[str, Figures]], count: Callable[[Figures], int]) -> list[tuple[str, Figures]]:
    return sorted(figures, key=lambda pair: (-count(pair[1]), pair[0]))[:MOST_SERIES]


def _shares(name: str, text: str, series: list[tuple[str, Figures]]) -> list[Gauge]:
    approved = {labels: figures.approved_share for labels, figures in series}
    quick = {labels: figures.quick_share for labels, figures in series}
    return [
        Gauge(name, f"{text}.", {labels: figures.asked for labels, figures in series}),
        Gauge(f"{name}_decided", f"{text}: decided.", {labels: figures.decided for labels, figures in series}),
        Gauge(f"{name}_approved_share", f"{text}: approved, of those decided.", _known(approved)),
        Gauge(f"{name}_quick_share", f"{text}: decided within two seconds, of those decided.", _known(quick)),
    ]


def _known(shares: dict[str, float | None]) -> dict[str, float]:
    """Without those of which nothing was decided."""
    return {labels: round(share, 4) for labels, share in shares.items() if share is not None}
