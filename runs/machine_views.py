"""What the form of a new run says of machines while one types."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST

from accounts.pages import PageRequest, signed_in
from runs.machine_hints import hint


@require_POST
@signed_in("runs:write")
def new_run_machine(request: PageRequest) -> HttpResponse:
    """The sentence below the choice of machine."""
    task, agent, machine_id = (request.POST.get(name, "").replace("\0", "") for name in ("task", "agent", "machine_id"))
    context = {"machine_hint": hint(request.actor, task[:16_000], agent, machine_id)}
    return render(request, "runs/_machine_hint.html", context)
