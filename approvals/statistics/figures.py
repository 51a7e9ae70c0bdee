"""What is counted about requests of some days, and what follows from it."""

from dataclasses import dataclass, field
from datetime import datetime

QUICK_SECONDS = 2  # a decision so soon after the request was opened cannot have been read


@dataclass
class Figures:
    """Counts of requests: opened, those of them that runs opened, and those that a person or a key decided; of the latter
    the approved ones (answers and submitted values too) and those decided within QUICK_SECONDS."""

    asked: int = 0
    of_runs: int = 0
    decided: int = 0
    approved: int = 0
    quick: int = 0

    def add(self, more: "Figures") -> None:
        self.asked += more.asked
        self.of_runs += more.of_runs
        self.decided += more.decided
        self.approved += more.approved
        self.quick += more.quick

    @property
    def approved_share(self) -> float | None:
        """0 to 1; None where nothing was decided, as for the other one."""
        return self.approved / self.decided if self.decided else None

    @property
    def quick_share(self) -> float | None:
        return self.quick / self.decided if self.decided else None


@dataclass
class Decider:
    """A person or a key that decided. `ref`: {type, id, name}, the name as it was then."""

    ref: dict[str, str]
    figures: Figures = field(default_factory=Figures)


@dataclass
class Statistics:
    """Of requests opened from `since` to `until`, in one team and world. `is_cut`: there were more, before `since`.

    A request that several policies asked for counts for each of them; `unruled` are those that no policy asked for.
    """

    since: datetime
    until: datetime
    is_cut: bool = False
    ended_runs: int = 0
    total: Figures = field(default_factory=Figures)
    unruled: Figures = field(default_factory=Figures)
    policies: dict[str, Figures] = field(default_factory=dict)
    deciders: dict[str, Decider] = field(default_factory=dict)

    def add(self, policy_ids: list[str], decider: dict[str, str] | None, figures: Figures) -> None:
        self.total.add(figures)
        for policy_id in policy_ids:
            self.policies.setdefault(policy_id, Figures()).add(figures)
        if not policy_ids:
            self.unruled.add(figures)
        if decider is not None:
            self.deciders.setdefault(decider["id"], Decider(decider)).figures.add(figures)

    @property
    def asks_per_run(self) -> float | None:
        """Requests that runs opened, for each top-level run that ended in these days; None where none ended."""
        return self.total.of_runs / self.ended_runs if self.ended_runs else None
