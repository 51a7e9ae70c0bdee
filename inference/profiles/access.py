"""Reading model profiles: their owners see all of them, everybody else only what works, by name."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q, QuerySet, Sum
from django.utils import timezone

from accounts.access import owns_installation
from accounts.actor import Actor
from accounts.errors import InstallationOwnersOnly
from inference.models import Call, Profile
from web.errors import NotFound


def require_owner(actor: Actor) -> None:
    """A profile's address reaches inner hosts and its key is paid for by all: its owners are those of the installation.

    `manage.py`, which needs the computer itself, acts as the system. Raises InstallationOwnersOnly.
    """
    if actor.kind != "system" and not owns_installation(actor):
        raise InstallationOwnersOnly


def profiles(actor: Actor) -> QuerySet[Profile]:
    """Raises InstallationOwnersOnly."""
    require_owner(actor)
    return Profile.objects.order_by("-is_default", "disabled_at", "name")


def get_profile(actor: Actor, profile_id: str, *, lock: bool = False) -> Profile:
    """By id or name. Raises InstallationOwnersOnly, NotFound. With `lock` the caller is inside atomic()."""
    rows = profiles(actor).filter(Q(id=profile_id) | Q(name=profile_id))
    profile = (rows.select_for_update() if lock else rows).first()
    if profile is None:
        raise NotFound("There is no such model.")
    return profile


@dataclass(frozen=True)
class Use:
    """What a profile was used for since some moment. `unknown`: calls whose cost nobody knows; the cost is without them."""

    calls: int = 0
    microcents: int = 0
    unknown: int = 0

    @property
    def money(self) -> str:
        """Less than a cent is more than nothing."""
        dollars = self.microcents / 1e8
        return f"${dollars:,.2f}" if dollars >= 0.01 or not dollars else f"${dollars:.4f}"


def use_since(start: datetime, names: Iterable[str]) -> dict[str, Use]:
    rows = (
        Call.objects.filter(profile__in=list(names), started_at__gte=start)
        .values("profile")
        .annotate(
            calls=Count("id"),
            cost=Sum("cost_microcents", default=0),
            unknown=Count("id", filter=Q(cost_microcents__isnull=True, status="ok")),
        )
    )
    return {row["profile"]: Use(row["calls"], row["cost"], row["unknown"]) for row in rows}


def month_start() -> datetime:
    return timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def ever_used(name: str) -> bool:
    """Tests alone are no use."""
    return Call.objects.filter(profile=name).exclude(purpose="test").exists()
