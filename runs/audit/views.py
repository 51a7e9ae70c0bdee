"""The audit page and its files."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.pages import PageRequest, signed_in
from runs.audit import exports
from runs.audit.access import Place, page_of
from runs.audit.entries import entries
from runs.audit.forms import AuditFilter
from web.exports import download
from web.paging import read_cursor, write_cursor

PAGE = 50
ORDER = ("audit",)  # of its cursors


@require_GET
@signed_in("team:read")
def audit(request: PageRequest) -> HttpResponse:
    form = AuditFilter(request.actor, request.GET)
    if not form.is_valid():
        return _page(request, form, {"rows": []}, 400)
    rows = page_of(request.actor, form.wanted(), _place(request.GET.get("cursor")), PAGE + 1)
    more, rows = len(rows) > PAGE, rows[:PAGE]
    last = rows[-1][0] if more else None
    found = {
        "rows": entries(request.actor, rows),
        "next_cursor": write_cursor([last.at, last.table, last.id], ORDER) if last else None,
    }
    return _page(request, form, found)


def _place(cursor: str | None) -> Place | None:
    return Place(*read_cursor(cursor, ORDER)) if cursor else None


def _page(request: PageRequest, form: AuditFilter, found: dict[str, Any], status: int = 200) -> HttpResponse:
    context = {"section": "audit", "form": form, "subject": form.data.get("subject", "")[:80]}
    return render(request, "audit/audit.html", context | found, status=status)


@require_GET
@signed_in("team:read")
def export(request: PageRequest, form: str) -> HttpResponseBase:
    """Every entry that the filter lets through, not only those of a page."""
    asked = AuditFilter(request.actor, request.GET)
    if not asked.is_valid():
        return _page(request, asked, {"rows": []}, 400)
    parts = (exports.as_csv if form == "csv" else exports.as_json)(request.actor, asked.wanted())
    world = "test" if request.actor.test else "live"
    return download(request, f"audit-{world}-{timezone.now():%Y-%m-%d}", form, parts)
