"""What the form of a new run says of its task while one types."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from accounts.pages import PageRequest, signed_in
from runs.starting.task_reading import reading


@require_POST
@signed_in("runs:write")
def new_run_reading(request: PageRequest) -> HttpResponse:
    """The part of the form below the task."""
    read = reading(request.actor, request.POST.get("task", ""), request.POST.get("agent", ""))
    return render(request, "runs/_reading.html", {"reading": read})
