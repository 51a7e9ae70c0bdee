"""The form of a new run, and what it says of task and machine while one types."""

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST
from pydantic import ValidationError

from accounts.pages import PageRequest, problems, signed_in
from machines.access import machines_of
from runs.access import get_run
from runs.schemas import RunCreate
from runs.starting.forms import RunForm, initial_from, rerun_values
from runs.starting.services import create_run
from runs.starting.task_reading import read_task
from web.bodies import details
from web.errors import Invalid, Refusal

SAMPLE_TASK = (
    "Create a file named approval.txt, ask for approval to finish, "
    "then check that the file approval.txt exists and stop"
)


@require_http_methods(["GET", "POST"])
@signed_in("runs:write")
def new_run_page(request: PageRequest) -> HttpResponseBase:
    like = get_run(request.actor, request.GET["like"]) if request.GET.get("like") else None
    initial = rerun_values(like) if like else initial_from(request.GET)
    form = RunForm(request.actor, request.POST if request.method == "POST" else None, initial=initial)
    if form.is_valid():
        try:
            run = create_run(request.actor, form.body(), request.request_id)
        except ValidationError as error:
            form.refuse(problems(Invalid(*details(error, "body"))))
        except Refusal as refusal:
            form.refuse(problems(refusal))
        else:
            return redirect("run", run.id)
    sentences = read_task(request.actor, str(form["task"].value() or ""), str(form["agent"].value() or ""))
    context = {"section": "runs", "form": form, "reading": sentences, "left_out": form.left_out(like) if like else []}
    return render(request, "runs/new.html", context, status=422 if form.errors else 200)


@require_POST
@signed_in("runs:write")
def start_sample_run(request: PageRequest) -> HttpResponse:
    """The first run of a new team: on its terminal machine, or on a simulated one in the test world."""
    machine = (
        machines_of(request.actor).filter(kind="terminal").exclude(status__in=("terminated", "terminating")).first()
    )
    if machine is None and not request.actor.test:
        messages.warning(request, "The sample run needs a terminal machine. Create one, then start the run again.")
        return redirect(f"{reverse('machine-new')}?kind=terminal")
    body = RunCreate(task=SAMPLE_TASK, agent="playbook", machine_id=machine.id if machine else None)
    return redirect("run", create_run(request.actor, body, request.request_id).id)


@require_POST
@signed_in("runs:write")
def new_run_sentences(request: PageRequest) -> HttpResponse:
    """The part of the form below the task."""
    sentences = read_task(request.actor, request.POST.get("task", ""), request.POST.get("agent", ""))
    return render(request, "runs/_understood.html", {"reading": sentences})


@require_POST
@signed_in("runs:write")
def new_run_machine(request: PageRequest) -> HttpResponse:
    """The form as it stands, nothing started or judged; the page takes the sentence about the machine out of it."""
    form = RunForm(request.actor, initial=initial_from(request.POST))
    return render(request, "runs/new.html", {"section": "runs", "form": form})
