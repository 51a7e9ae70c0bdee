"""The page that says how people are asked and how they answer."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.actor import Actor
from accounts.pages import PageRequest, signed_in
from approvals.policies.access import policies_of
from approvals.policies.sentences import sentence, state_of
from approvals.statistics.access import MOST, statistics_of
from approvals.statistics.figures import QUICK_SECONDS, Statistics
from approvals.statistics.forms import SPANS, Days

MOST_ROWS = 100  # of each table: those that were asked for, or decided, most often


@require_GET
@signed_in("approvals:read")
def statistics_page(request: PageRequest) -> HttpResponse:
    form = Days(request.GET.dict())
    context: dict[str, Any] = {"section": "statistics", "form": form, "spans": SPANS, "quick_seconds": QUICK_SECONDS}
    if form.is_valid():
        statistics = statistics_of(request.actor.team_id, request.actor.test, *form.period(timezone.now()))
        context |= {"statistics": statistics, "most": MOST, "policies": _policies(request.actor, statistics)}
        context |= _deciders(statistics)
    return render(request, "approvals/statistics.html", context, status=400 if form.errors else 200)


def _policies(actor: Actor, statistics: Statistics) -> list[dict[str, Any]]:
    """Those that asked, most often first; without one, where it is of another team."""
    rows = {row.id: row for row in policies_of(actor).filter(id__in=statistics.policies)}
    figures = sorted(statistics.policies.items(), key=lambda pair: (-pair[1].asked, pair[0]))[:MOST_ROWS]
    return [
        {"policy": rows[key], "sentence": sentence(rows[key]), "state": state_of(rows[key]), "figures": each}
        for key, each in figures
        if key in rows
    ]


def _deciders(statistics: Statistics) -> dict[str, Any]:
    rows = sorted(statistics.deciders.values(), key=lambda decider: (-decider.figures.decided, decider.ref["id"]))
    return {"deciders": rows[:MOST_ROWS], "more_deciders": len(rows) - MOST_ROWS}
