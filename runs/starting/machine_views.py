"""What the form of a new run says of machines while one types."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from accounts.pages import PageRequest, signed_in
from runs.starting.forms import RunForm, initial_from


@require_POST
@signed_in("runs:write")
def new_run_machine(request: PageRequest) -> HttpResponse:
    """The form as it stands, nothing started or judged; the page takes the sentence about the machine out of it."""
    form = RunForm(request.actor, initial=initial_from(request.POST))
    return render(request, "runs/new.html", {"section": "runs", "form": form})
