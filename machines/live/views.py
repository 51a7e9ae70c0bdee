"""The page that a link to a live screen leads to. It needs no session: its token stands in the fragment of its address."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET


@require_GET
def link_page(request: HttpRequest) -> HttpResponse:
    response = render(request, "machines/view.html")
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response
