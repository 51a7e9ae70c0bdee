"""The door of a page: who looks at it, what they may do, and how a refusal reads."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, cast
from urllib.parse import urlsplit, urlunsplit

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import add_never_cache_headers, patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.access import (
    actor_of_page,
    actor_of_session,
    get_team,
    named_place,
    other_places,
    owns_installation,
    require,
    teams_of,
)
from accounts.actor import Actor
from accounts.models import Role
from database import disk
from web.errors import Refusal, following_up

P = ParamSpec("P")
View = Callable[Concatenate[Any, P], HttpResponseBase]
Page = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


class PageRequest(HttpRequest):
    """A request after `signed_in`."""

    actor: Actor
    request_id: str
    htmx: Any


def signed_in(*scopes: str) -> Callable[[View[P]], Page[P]]:
    """The page needs a person of a team and any one of these scopes. A refusal becomes a page with its status."""

    def wrap(view: View[P]) -> Page[P]:
        @functools.wraps(view)
        def checked(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            actor = actor_of_page(request)
            if actor is None:
                return _to_sign_in(request)
            request.actor = actor  # type: ignore[attr-defined]
            try:
                if scopes:
                    require(actor, *scopes)
                with following_up():
                    response = _stay(request, view(request, *args, **kwargs))
            except Refusal as refusal:
                found_by = functools.partial(view, request, *args, **kwargs)
                place = _place_of(request, refusal, scopes, found_by) if kwargs or request.GET.get("open") else None
                response = refusal_page(request, refusal, place)
            if "Cache-Control" not in response:
                add_never_cache_headers(response)
            patch_vary_headers(response, ("HX-Request", "Cookie"))
            return response

        return cast("Page[P]", checked)

    return wrap


def _to_sign_in(request: HttpRequest) -> HttpResponse:
    """htmx follows a redirect inside the page, so it is told to leave it."""
    if request.user.is_authenticated:
        return render(request, "accounts/no_team.html", status=403)
    answer = redirect_to_login(request.get_full_path() if request.method == "GET" else _page_of_form(request))
    if getattr(request, "htmx", False):
        return HttpResponse(status=204, headers={"HX-Redirect": answer["Location"]})
    return answer


def _page_of_form(request: HttpRequest) -> str:
    """The page of ours on which the form stood, else the first one: what was posted is not kept."""
    page = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(page, allowed_hosts={request.get_host()}):
        return "/"
    parts = urlsplit(page)
    return urlunsplit(("", "", parts.path or "/", parts.query, ""))


TITLES = {403: "You may not do that", 404: "Nothing here", 402: "Not enough money"}


def refusal_page(request: HttpRequest, refusal: Refusal, place: Actor | None = None) -> HttpResponse:
    """Why not; `place`: where the person would find what is not here. To htmx it is a note above the page that stays."""
    title = TITLES.get(refusal.status, "That did not work")
    context = {"title": title, "refusal": refusal, "place": place, "place_team": get_team(place) if place else None}
    if place:
        context["next"] = _address_there(request)
    if not getattr(request, "htmx", False):
        return render(request, "refused.html", context, status=refusal.status)
    response = render(request, "_refusal.html", context, status=refusal.status)
    response["HX-Retarget"], response["HX-Reswap"], response["HX-Push-Url"] = "#refusal", "innerHTML", "false"
    return response


def _address_there(request: HttpRequest) -> str:
    """The same address, without what said of which team and world the page was."""
    query = request.GET.copy()
    for name in ("in_team", "in_world"):
        query.pop(name, None)
    return f"{request.path}?{query.urlencode()}" if query else request.path


def _place_of(
    request: HttpRequest, refusal: Refusal, scopes: tuple[str, ...], view: Callable[[], HttpResponseBase]
) -> Actor | None:
    """The person's other team or world where this address leads somewhere."""
    actor: Actor = request.actor  # type: ignore[attr-defined]
    if refusal.status != 404 or request.method != "GET":
        return None
    for person in other_places(actor):
        request.actor = person  # type: ignore[attr-defined]
        try:
            if scopes:
                require(person, *scopes)
            if view().status_code < 400:
                return person
        except (Refusal, Http404):
            continue
        finally:
            request.actor = actor  # type: ignore[attr-defined]
    return None


def _stay(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """A redirect goes on in the team and world that the page was of, if the session looks at another one by now."""
    actor: Actor = request.actor  # type: ignore[attr-defined]
    target = response.headers.get("Location", "")
    if not target.startswith("/") or not any(named_place(request)):
        return response
    session = actor_of_session(request)
    if session is None or (session.team_id, session.test) == (actor.team_id, actor.test):
        return response
    parts = urlsplit(target)
    query = QueryDict(parts.query, mutable=True)
    query["in_world"], query["in_team"] = "test" if actor.test else "live", actor.team_id
    response.headers["Location"] = urlunsplit(("", "", parts.path, query.urlencode(), parts.fragment))
    return response


def show(request: HttpRequest, page: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    """The page, or for htmx only its live part: `runs/list.html` has its part in `runs/_list.html`."""
    if getattr(request, "htmx", False):
        folder, name = page.rsplit("/", 1)
        page = f"{folder}/_{name}"
    return render(request, page, context, status=status)


def go(request: HttpRequest, fallback: str, *args: Any) -> HttpResponseRedirect:
    """Redirect to the form's `back` when it is an address of ours, else to the named page."""
    back = request.POST.get("back", "")
    if back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        return HttpResponseRedirect(back)
    return HttpResponseRedirect(reverse(fallback, args=args))


def whole_number(text: str, digits: int) -> int | None:
    """The number that a form or an address holds in at most so many ASCII digits; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None


def problems(refusal: Refusal) -> list[tuple[str, str]]:
    """(field, sentence) of each violation; the refusal's own message when it names none."""
    details = refusal.facts.get("details") or []
    violations = [(".".join(str(p) for p in d["loc"][1:]), str(d["msg"])) for d in details]
    return violations or [("", refusal.message)]


def show_refusal(form: Form, refusal: Refusal) -> None:
    """Each violation beside its field; above the form what has none."""
    for name, message in problems(refusal):
        form.add_error(name if name in form.fields else None, message)


@contextmanager
def refusals_as_messages(request: HttpRequest) -> Iterator[None]:
    """A refusal becomes words on the page that comes next."""
    try:
        with following_up():
            yield
    except Refusal as refusal:
        messages.error(request, " ".join(sentence for _, sentence in problems(refusal)))


THEMES = ("auto", "light", "dark")


def page_context(request: HttpRequest) -> dict[str, Any]:
    """What every page's frame needs. Database reads wait until a template asks for them."""
    theme = request.COOKIES.get("theme", "auto")
    frame: dict[str, Any] = {"theme": theme if theme in THEMES else "auto", "frame_actor": None}
    actor: Actor | None = getattr(request, "actor", None)
    if actor is None or actor.kind != "user":
        return frame
    roles = Role.highest_first(actor.roles)
    return frame | {
        "frame_actor": actor,
        "frame_roles": roles,
        "frame_team": lambda: get_team(actor),
        "frame_room": disk.room,
        "frame_teams": lambda: teams_of(actor),
        "frame_owns": functools.cache(lambda: owns_installation(actor)),
    }
