"""Policies of the team: what is remembered and ruled, in sentences; and every change of it."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods
from pydantic import ValidationError

from accounts.access import require
from accounts.errors import InsufficientScope
from accounts.pages import PageRequest, problems, signed_in
from approvals.access import approvals_of
from approvals.models import Effect, Policy
from approvals.policies import allowances, services
from approvals.policies.access import get_policy, in_state, policies_of
from approvals.policies.allowances import LOOSEN
from approvals.policies.forms import STATES, TOOLS, PolicyFilter, PolicyForm, initial_like, initial_of
from approvals.policies.narrowing import narrowing
from approvals.policies.replay import in_words, replay
from approvals.policies.schemas import PolicyPatch
from approvals.policies.sentences import in_full, reach, sentence, state_of
from approvals.subjects import run_url
from web.bodies import details
from web.errors import Invalid, Refusal
from web.paging import page

PAGE = 50
_ABOUT = ("tool", "host", "end_user", "include_end_users", "when", "run_id")  # what a change leaves as it is


@require_GET
@signed_in("approvals:read")
def policy_list(request: PageRequest) -> HttpResponse:
    query = {**request.GET.dict(), "limit": str(PAGE)}
    form = PolicyFilter(request.GET)
    effect, state = request.GET.get("effect", ""), request.GET.get("state", "active")
    rows = _filtered(policies_of(request.actor), form)
    rows = rows.filter(effect=effect) if effect in Effect.values else rows
    part = page(in_state(rows, state), query, _facts, request_id=request.request_id)
    context = {
        "section": "policies",
        "rows": part["data"],
        "next_cursor": part["next_cursor"],
        "form": form,
        "effect": effect,
        "state": state,
        "states": STATES,
        "effects": Effect.choices,
        "may_write": request.actor.may("approvals:decide"),
        "any": bool(part["data"]) or policies_of(request.actor).exists(),
    }
    return render(request, "approvals/policies.html", context)


def _filtered(rows: QuerySet[Policy], form: PolicyFilter) -> QuerySet[Policy]:
    filters = form.cleaned_data if form.is_valid() else {}
    if filters.get("tool"):
        rows = rows.filter(tool__icontains=filters["tool"])
    if filters.get("end_user"):
        rows = rows.filter(end_user=filters["end_user"])
    if filters.get("reach") == "run":
        return rows.filter(run_id__isnull=False)
    if filters.get("reach"):
        return rows.filter(run_id__isnull=True, end_user__isnull=filters["reach"] == "team")
    return rows


def _facts(row: Policy) -> dict[str, Any]:
    return {"policy": row, "sentence": sentence(row), "reach": reach(row), "state": state_of(row)}


@require_GET
@signed_in("approvals:read")
def policy_page(request: PageRequest, policy_id: str) -> HttpResponse:
    policy = get_policy(request.actor, policy_id)
    may_write = request.actor.may("approvals:decide")
    context = _facts(policy) | {
        "section": "policies",
        "may_write": may_write,
        "may_lift": may_write and services.may_lift(request.actor, policy),
        "conditions": in_full(policy.when),
        "run_url": run_url(policy.run_id) if policy.run_id else "",
        "narrowing": narrowing(policy) if may_write else None,
        "for_others": policy.effect == "allow" and allowances.for_others(policy),
    }
    return render(request, "approvals/policy.html", context)


@require_http_methods(["GET", "POST"])
@signed_in("approvals:decide")
def new_policy(request: PageRequest) -> HttpResponseBase:
    """The same policy sent twice is one: the second time it is shown as it is. `try` only looks what it would have done."""
    form = _new_form(request)
    if form.is_valid():
        try:
            fields = services.checked(request.actor, form.policy_create().model_dump(exclude_none=True, by_alias=True))
            if "try" in request.POST:
                return _form(request, form, tried=_tried(request, fields))
            policy, is_new = services.create(request.actor, origin="dashboard", **fields)
        except (ValidationError, Refusal) as error:
            form.refuse(_problems(error))
        else:
            _say_created(request, is_new=is_new)
            return redirect("policy", policy.id)
    return _form(request, form)


def _new_form(request: PageRequest) -> PolicyForm:
    """Filled in by the address: with fields, or `like` another policy."""
    sent = request.POST if request.method == "POST" else None
    query = request.GET.dict()
    if "like" not in query:
        return PolicyForm(request.actor, sent, initial=query)
    like = get_policy(request.actor, query["like"])
    return PolicyForm(request.actor, sent, like=like, initial=initial_like(like, query))


def _tried(request: PageRequest, fields: dict[str, Any], without: str | None = None) -> dict[str, Any]:
    """What the rule would have done, in words, and some of the requests."""
    result = replay(request.actor, fields, without)
    rows = approvals_of(request.actor).in_bulk(result.examples)
    examples = [rows[approval_id] for approval_id in result.examples if approval_id in rows]
    return {"sentences": in_words(result, fields["effect"]), "examples": examples}


def _say_created(request: PageRequest, *, is_new: bool) -> None:
    if is_new:
        messages.success(request, "The policy is made. It counts from the next action on; requests that wait stay.")
    else:
        messages.warning(
            request, "Nothing was made: this policy is active already, and about the same. It is as it was."
        )


def _problems(error: ValidationError | Refusal) -> list[tuple[str, str]]:
    if isinstance(error, InsufficientScope):
        return [("", "Only an admin may do this: more could run than before.")]
    return problems(Invalid(*details(error, "body")) if isinstance(error, ValidationError) else error)


def _form(
    request: PageRequest, form: PolicyForm, policy: Policy | None = None, tried: dict[str, Any] | None = None
) -> HttpResponse:
    context = {"section": "policies", "form": form, "tools": TOOLS, "tried": tried}
    context |= _facts(policy) if policy else {}
    return render(request, "approvals/policy_form.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@signed_in("approvals:decide")
def edit_policy(request: PageRequest, policy_id: str) -> HttpResponseBase:
    policy = get_policy(request.actor, policy_id)
    if state_of(policy) == "revoked":
        messages.warning(request, "A policy that was revoked is not changed any more. Make a new one.")
        return redirect("policy", policy.id)
    sent = request.POST if request.method == "POST" else None
    form = PolicyForm(request.actor, sent, row=policy, initial=initial_of(policy))
    if form.is_valid():
        try:
            if "try" in request.POST:
                about = {name: getattr(policy, name) for name in _ABOUT}
                fields = about | {"effect": policy.effect} | _changes(request, form.changes())
                return _form(request, form, policy, _tried(request, fields, without=policy.id))
            _change(request, policy, form.changes())
        except (ValidationError, Refusal) as error:
            form.refuse(_problems(error))
        else:
            return redirect("policy", policy.id)
    return _form(request, form, policy)


def _changes(request: PageRequest, fields: dict[str, Any]) -> dict[str, Any]:
    """What was cleared is null, which the body of a PATCH takes for not given."""
    changes = PolicyPatch.model_validate(fields).model_dump(exclude_unset=True)
    return services.checked(request.actor, changes | {name: None for name, value in fields.items() if value is None})


def _change(request: PageRequest, policy: Policy, fields: dict[str, Any]) -> None:
    changes = _changes(request, fields)
    if not changes:
        messages.info(request, "Nothing was changed.")
        return
    services.update(request.actor, policy.id, changes)
    messages.success(request, "The policy is changed. It counts from the next action on.")


@require_http_methods(["GET", "POST"])
@signed_in("approvals:decide")
def revoke_policy(request: PageRequest, policy_id: str) -> HttpResponseBase:
    policy = get_policy(request.actor, policy_id)
    if state_of(policy) == "active" and not services.may_lift(request.actor, policy):
        require(request.actor, LOOSEN)
    if request.method == "POST":
        services.revoke(request.actor, policy.id)
        messages.success(request, "The policy is revoked. The next action is judged without it, in running runs too.")
        return redirect("policy", policy.id)
    return render(request, "approvals/policy_revoke.html", {"section": "policies"} | _facts(policy))
