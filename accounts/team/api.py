"""Team settings."""

from django.http import HttpResponse
from ninja import Router

from accounts.access import get_team
from accounts.doors import ApiRequest, door, takes
from accounts.idempotency import answer
from accounts.team import services
from accounts.team.schemas import TeamObject, TeamPatch, team_object
from web.bodies import read, read_json
from web.errors import EmptyUpdate, ErrorObject

router = Router(tags=["Team and keys"])
NULLABLE = ("default_machine_id", "default_agent", "remember_days")


@router.get("/team", summary="Team settings", response=TeamObject)
@door("team:read")
def team(request: ApiRequest) -> HttpResponse:
    return answer(team_object(get_team(request.actor)))


@router.patch("/team", summary="Change team settings", response={200: TeamObject, 404: ErrorObject}, **takes(TeamPatch))
@door("team:write")
def patch_team(request: ApiRequest) -> HttpResponse:
    changes = read(request, TeamPatch).model_dump(exclude_unset=True)
    raw = read_json(request)
    changes |= {name: None for name in NULLABLE if name in raw and raw[name] is None}
    if not changes:
        raise EmptyUpdate
    return answer(team_object(services.update_team(request.actor, changes)))
