"""The audit page and its files."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.audit import exports
from accounts.audit.access import entries, page_of
from accounts.audit.forms import AuditFilter
from accounts.audit.sources import Place
from accounts.pages import PageRequest, signed_in
from web.exports import download
from web.paging import read_cursor, write_cursor

PAGE = 50
ORDER = ("audit",)  # of its cursors


@require_GET
@signed_in("team:read")
def audit_list(request: PageRequest) -> HttpResponse:
    form = AuditFilter(request.actor, request.GET)
    if not form.is_valid():
        return _page(request, form, {"rows": []}, 400)
    cursor = request.GET.get("cursor")
    after = Place(*read_cursor(cursor, ORDER)) if cursor else None
    rows = page_of(request.actor, form.query(), after, PAGE + 1)
    more, rows = len(rows) > PAGE, rows[:PAGE]
    last = rows[-1][0] if more else None
    context = {
        "rows": entries(request.actor, rows),
        "next_cursor": write_cursor([last.at, last.table, last.id], ORDER) if last else None,
    }
    return _page(request, form, context)


def _page(request: PageRequest, form: AuditFilter, context: dict[str, Any], status: int = 200) -> HttpResponse:
    frame = {"section": "audit", "form": form, "subject": form.data.get("subject", "")[:80]}
    return render(request, "audit/audit.html", frame | context, status=status)


@require_GET
@signed_in("team:read")
def export(request: PageRequest, form: str) -> HttpResponseBase:
    """Every entry that the filter lets through, not only those of a page."""
    audit_filter = AuditFilter(request.actor, request.GET)
    if not audit_filter.is_valid():
        return _page(request, audit_filter, {"rows": []}, 400)
    parts = (exports.as_csv if form == "csv" else exports.as_json)(request.actor, audit_filter.query())
    world = "test" if request.actor.test else "live"
    return download(request, f"audit-{world}-{timezone.now():%Y-%m-%d}", form, parts)
