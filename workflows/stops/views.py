"""The page of stops: what stands, what stood, the button, and the lift."""

from django.contrib import messages
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from accounts.pages import PageRequest, signed_in
from machines.models import Stop
from runs.stops import services
from runs.stops.access import get_stop, in_force, stops_of
from runs.stops.enforcing import enforce, let_go_on
from workflows.stops.forms import StopForm
from workflows.stops.scopes import find_target, with_names

SECTION = {"section": "stops"}
MOST = 100  # lifted ones that are shown


@require_GET
@signed_in("runs:read")
def stop_list(request: PageRequest) -> HttpResponse:
    lifted = stops_of(request.actor).filter(lifted_at__isnull=False).order_by("-requested_at", "-id")
    rows = with_names(request.actor, [*in_force(request.actor).reverse(), *lifted[:MOST]])
    return render(request, "stops/list.html", SECTION | {"stops": rows})


@require_http_methods(["GET", "POST"])
@signed_in("runs:write")
def new_stop_page(request: PageRequest) -> HttpResponseBase:
    """A second click finds the stop that the first one made."""
    form = StopForm(request.actor, request.POST or None, initial={"what": request.GET.get("what", "team")})
    if not form.is_valid():
        return render(request, "stops/new.html", SECTION | {"form": form}, status=422 if form.errors else 200)
    scope, target_id, reason = form.values()
    target_id = find_target(request.actor, scope, target_id)
    _say(request, enforce(services.request_stop(request.actor, scope, target_id, reason, anew=False)))
    return redirect("stops")


def _say(request: PageRequest, stop: Stop) -> None:
    if stop.confirmed_at is None:
        messages.warning(request, "Stopped: no new action starts. It is not confirmed yet that none is under way.")
    else:
        messages.success(request, "Stopped, and confirmed: no action is under way.")


@require_http_methods(["GET", "POST"])
@signed_in("runs:write")
def lift_page(request: PageRequest, stop_id: str) -> HttpResponseBase:
    services.require_lifter(request.actor)
    stop = get_stop(request.actor, stop_id)
    if request.method == "GET":
        (row,) = with_names(request.actor, [stop])
        return render(request, "stops/lift.html", SECTION | {"row": row})
    let_go_on(request.actor, services.lift(request.actor, stop.id))
    left = in_force(request.actor).count()
    words = f" {left} more still stand." if left else " The runs go on, with their time back."
    messages.success(request, f"The stop is lifted.{words}")
    return redirect("stops")
