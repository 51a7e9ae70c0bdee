"""The editor: a new workflow, the next version of one, and the check of a text as it is written."""

import hashlib
import json
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from accounts.pages import PageRequest, signed_in
from web.errors import Invalid, PayloadTooLarge
from workflows import services
from workflows.access import get_version, get_workflow, versions_of, workflows_of
from workflows.checking import accept, examine
from workflows.definition.documents import Definition
from workflows.definition.drafts import DEFINITION, Draft, Problem, first_line, read_draft
from workflows.definition.examples import examples
from workflows.drawing.layout import draw, listed
from workflows.errors import SavedMeanwhile
from workflows.forms import WorkflowForm, initial_from, initial_of
from workflows.models import Workflow

TOO_LARGE = Problem(DEFINITION, "The document is larger than 256 KiB.")


@require_http_methods(["GET", "POST"])
@signed_in("workflows:write")
def new_workflow_page(request: PageRequest) -> HttpResponseBase:
    if request.method == "GET":
        example = examples().get(request.GET.get("example", ""))
        form = WorkflowForm(new=True, initial=initial_from(example))
        return _editor(request, form, _report(request, _draft_of_initial(form, new=True)), example=example)
    form = WorkflowForm(request.POST, new=True)
    draft = _sent(form, new=True)
    report = _report(request, draft)
    checking = "check" in request.POST
    if report["problems"] and not checking and not draft.body.get("name"):
        form.refuse("name", "Field required.")  # said together with what is wrong in the text
    if checking or report["problems"] or not (values := _valid_values(request, form, draft, new=True)):
        return _editor(request, form, report)
    workflow = services.save_workflow(request.actor, values)
    messages.success(request, "The workflow is saved.")
    return redirect("workflow", workflow.id)


@require_http_methods(["GET", "POST"])
@signed_in("workflows:write")
def edit_workflow_page(request: PageRequest, workflow_id: str) -> HttpResponseBase:
    """`?from=2` begins with an older version."""
    workflow = get_workflow(request.actor, workflow_id)
    if request.method == "GET":
        older = request.GET.get("from")
        form = WorkflowForm(
            new=False, initial=initial_of(get_version(workflow, older) if older else workflow, workflow)
        )
        return _editor(request, form, _report(request, _draft_of_initial(form, new=False)), workflow)
    form = WorkflowForm(request.POST, new=False)
    draft = _sent(form, new=False)
    report = _report(request, draft)
    checking = "check" in request.POST
    if checking or report["problems"] or not (values := _valid_values(request, form, draft, new=False)):
        return _editor(request, form, report, workflow)
    try:
        workflow = services.update_workflow(
            request.actor, workflow.id, values, based_on=form.cleaned_data.get("based_on")
        )
    except SavedMeanwhile as meanwhile:
        return _editor(request, form, report, workflow, meanwhile=meanwhile)
    messages.success(request, f"Saved as version {workflow.version}.")
    return redirect("workflow", workflow.id)


@require_POST
@signed_in("workflows:write")
def check(request: PageRequest) -> HttpResponse:
    """What is wrong with the text, and its drawing: the part of the page that follows the writing. Nothing is stored.

    Without script the form itself is sent with `check`.
    """
    if not request.htmx:
        return redirect("workflow-new")
    new = not request.POST.get("based_on")
    report = _report(request, _sent(WorkflowForm(request.POST, new=new), new=new))
    shown = request.POST.get("shown", "")[:64]
    stale = bool(shown) and "drawing" not in report
    return render(request, "workflows/_check.html", report | {"keep": report["keep"] or shown, "stale": stale})


def _sent(form: WorkflowForm, *, new: bool) -> Draft:
    form.is_valid()
    return read_draft(form.values(), new=new)


def _draft_of_initial(form: WorkflowForm, *, new: bool) -> Draft:
    empty = {"slug": "", "budget_cents_month": 0}
    return read_draft(empty | {name: value or "" for name, value in form.initial.items()}, new=new)


def _report(request: PageRequest, draft: Draft) -> dict[str, Any]:
    """Problems and warnings with their lines, the estimate, and the drawing when the definition is in order."""
    problems, warnings, worst = draft.unreadable(), [], None
    try:
        examined = examine(request.actor, draft.body)
    except PayloadTooLarge:
        problems.append(TOO_LARGE)
    else:
        problems += draft.problems(examined.errors)
        warnings, worst = draft.problems(examined.warnings, "warning"), examined.estimate
    sound = not any(problem.field == DEFINITION for problem in problems)
    drawn = _drawn(draft.body.get(DEFINITION, draft.body)) if sound else {}
    return {"problems": sorted(problems, key=first_line), "warnings": warnings, "estimate": worst, "keep": ""} | drawn


def _drawn(definition: Definition) -> dict[str, Any]:
    """`keep` names the drawing, so that one that is shown already is not touched."""
    name = hashlib.sha256(json.dumps(definition).encode()).hexdigest()[:16]
    return {"drawing": draw(definition), "steps": listed(definition), "keep": name}


def _valid_values(request: PageRequest, form: WorkflowForm, draft: Draft, *, new: bool) -> dict[str, Any] | None:
    """The values to save; None when something of the fields beside the texts is wrong, which the form then says."""
    try:
        values = accept(request.actor, draft.body, "create" if new else "put")
    except Invalid as refusal:
        for loc, message, _kind in refusal.violations:
            form.refuse(".".join(map(str, loc[1:])), message)
        return None
    if new and workflows_of(request.actor).filter(slug=values["slug"]).exists():
        form.refuse("slug", f"There is a workflow “{values['slug']}” already. Choose another slug, or edit that one.")
    return None if form.errors else values


def _editor(
    request: PageRequest,
    form: WorkflowForm,
    report: dict[str, Any],
    workflow: Workflow | None = None,
    *,
    example: dict[str, Any] | None = None,
    meanwhile: SavedMeanwhile | None = None,
) -> HttpResponse:
    """The editor with what was written in it. An unsound text stands beside the drawing of the newest version."""
    for problem in report["problems"]:
        if problem.place is None:
            form.refuse(problem.field, problem.message)
    stale = "drawing" not in report
    last = _drawn(workflow.definition) if stale and workflow else {}
    saved = versions_of(workflow).get(version=meanwhile.version) if workflow and meanwhile else None
    context = {
        **report,
        **last,
        "section": "workflows",
        "form": form,
        "workflow": workflow,
        "chosen": example,
        "examples": examples(),
        "saved_meanwhile": saved,
        "based_on": saved.version if saved else form["based_on"].value(),
        "refused": form.is_bound and "check" not in request.POST,
        "stale": bool(last),
        "next": saved.version + 1 if saved else (workflow.version + 1 if workflow else 1),
    }
    wrong = bool(report["problems"] or form.errors) and form.is_bound
    return render(request, "workflows/edit.html", context, status=409 if saved else 422 if wrong else 200)
