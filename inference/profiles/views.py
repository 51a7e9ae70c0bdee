"""The models of the installation: the list, one with its test, and every change."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import Team
from accounts.pages import PageRequest, problems, show, signed_in
from inference.models import Profile
from inference.profiles import services, trials
from inference.profiles.access import ever_used, get_profile, month_start, profiles, require_owner, use_since
from inference.profiles.forms import ProfileForm, prices_in_words, start_of, values_of
from inference.profiles.sdks import installed
from inference.profiles.trial_picture import HEIGHT, TARGETS, WIDTH, picture
from inference.profiles.vendors import VENDORS
from inference.specs import usual_agent
from web.errors import Refusal


@require_GET
@signed_in()
def model_list(request: PageRequest) -> HttpResponse:
    rows = list(profiles(request.actor))
    uses = use_since(month_start(), [profile.name for profile in rows])
    context = {
        "section": "models",
        "usual": usual_agent(),
        "vendors": VENDORS.values(),
        "rows": [_profile_facts(profile) | {"use": uses.get(profile.name)} for profile in rows],
    }
    return render(request, "inference/models.html", context)


def _profile_facts(profile: Profile) -> dict[str, Any]:
    """A profile as lists and its page show it. `test`: passed, failed, running, silent, older or none."""
    trial = trials.trial_of(profile)
    if trial is None:
        state = "none"
    elif trial.version != profile.version:
        state = "older"
    elif trial.running:
        state = "silent" if trial.silent else "running"
    else:
        state = "passed" if trial.passed else "failed"
    vendor = VENDORS[profile.wire]
    return {"profile": profile, "trial": trial, "test": state, "vendor": vendor, "installed": installed(profile.wire)}


@require_http_methods(["GET", "POST"])
@signed_in()
def new_model_page(request: PageRequest) -> HttpResponseBase:
    """Without a kind: which kinds there are."""
    require_owner(request.actor)
    wire = request.GET.get("wire", "")
    if wire not in VENDORS:
        return render(request, "inference/model_kinds.html", {"section": "models", "vendors": VENDORS.values()})
    sent = request.POST if request.method == "POST" else None
    form = ProfileForm(wire, sent, initial=start_of(VENDORS[wire]), others=_other_names(request))
    if form.is_valid():
        try:
            profile = services.create_profile(request.actor, form.values())
        except Refusal as refusal:
            _refuse(form, refusal)
        else:
            messages.success(request, "The model is added. Test it before runs use it.")
            return redirect("model", profile.id)
    return _form(request, form, None)


def _other_names(request: PageRequest, profile: Profile | None = None) -> tuple[str, ...]:
    rows = profiles(request.actor).exclude(id=profile.id if profile else "")
    return tuple(rows.order_by("name").values_list("name", flat=True))


def _refuse(form: ProfileForm, refusal: Refusal) -> None:
    """What is wrong with the fields stays on the form; everything else is a page of its own. Raises Refusal."""
    if refusal.status != 422:
        raise refusal
    form.refuse(problems(refusal))


def _form(request: PageRequest, form: ProfileForm, profile: Profile | None) -> HttpResponse:
    context = {"section": "models", "form": form, "profile": profile, "vendor": form.vendor}
    return render(request, "inference/model_form.html", context, status=422 if form.errors else 200)


@require_GET
@signed_in()
def model_page(request: PageRequest, profile_id: str) -> HttpResponse:
    profile = get_profile(request.actor, profile_id)
    shown = _profile_facts(profile)
    shots = {shot["name"]: shot for shot in shown["trial"].targets} if shown["trial"] else {}
    context = shown | {
        "section": "models",
        "live_title": profile.name,
        "use": use_since(month_start(), [profile.name]).get(profile.name),
        "targets": [{"target": target, "shot": shots.get(target.name)} for target in TARGETS],
        "width": WIDTH,
        "height": HEIGHT,
        "used": ever_used(profile.name),
        "teams": Team.objects.filter(default_agent=profile.name).count(),
        "passed": services.passed(profile),
        "prices": prices_in_words(profile),
    }
    return show(request, "inference/model.html", context)


@require_http_methods(["GET", "POST"])
@signed_in()
def edit_model_page(request: PageRequest, profile_id: str) -> HttpResponseBase:
    profile = get_profile(request.actor, profile_id)
    sent = request.POST if request.method == "POST" else None
    form = ProfileForm(
        profile.wire, sent, profile=profile, initial=values_of(profile), others=_other_names(request, profile)
    )
    if form.is_valid():
        try:
            changed = services.update_profile(request.actor, profile.id, form.values())
        except Refusal as refusal:
            _refuse(form, refusal)
        else:
            new = changed.version != profile.version
            messages.success(request, "The model is changed. Test it again." if new else "Nothing was changed.")
            return redirect("model", profile.id)
    return _form(request, form, profile)


@require_POST
@signed_in()
def test_model(request: PageRequest, profile_id: str) -> HttpResponse:
    profile = trials.start(request.actor, profile_id)
    return redirect("model", profile.id)


@require_http_methods(["GET", "POST"])
@signed_in()
def default_model_page(request: PageRequest, profile_id: str) -> HttpResponseBase:
    """One that has not passed its test needs a second press, on a page that says so."""
    profile = get_profile(request.actor, profile_id)
    if request.method == "POST" and (services.passed(profile) or request.POST.get("anyway")):
        services.set_default(request.actor, profile.id, anyway=bool(request.POST.get("anyway")))
        messages.success(request, f"{profile.name} thinks for every run for which nobody chose an agent.")
        return redirect("model", profile.id)
    return render(request, "inference/model_default.html", _profile_facts(profile) | {"section": "models"})


@require_POST
@signed_in()
def clear_default_model(request: PageRequest, profile_id: str) -> HttpResponse:
    profile = services.clear_default(request.actor, profile_id)
    messages.success(request, "Runs for which nobody chose an agent have the playbook agent now.")
    return redirect("model", profile.id)


@require_POST
@signed_in()
def switch_model(request: PageRequest, profile_id: str) -> HttpResponse:
    on = request.POST.get("on") == "true"
    profile = (services.enable_profile if on else services.disable_profile)(request.actor, profile_id)
    words = "The model is enabled." if on else "The model is disabled. Runs that use it ask a person what to do."
    messages.success(request, words)
    return redirect("model", profile.id)


@require_http_methods(["GET", "POST"])
@signed_in()
def delete_model_page(request: PageRequest, profile_id: str) -> HttpResponseBase:
    profile = get_profile(request.actor, profile_id)
    if request.method == "POST":
        services.delete_profile(request.actor, profile.id)
        messages.success(request, f"The model {profile.name} is deleted.")
        return redirect("models")
    return render(
        request,
        "inference/model_delete.html",
        {"section": "models", "profile": profile, "used": ever_used(profile.name)},
    )


@require_GET
@signed_in()
def targets_picture(request: PageRequest) -> HttpResponse:
    require_owner(request.actor)
    return HttpResponse(picture(), content_type="image/png", headers={"Cache-Control": "private, max-age=3600"})
