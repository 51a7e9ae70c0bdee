"""`manage.py stop --team demo --reason "…"`: what the button does, from a shell; nothing but the database has to answer."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from pydantic import ValidationError

from accounts.actor import command_line
from config.management.refusals import refusals_as_errors
from config.management.teams import team_named
from machines.models import Stop
from runs.stops import enforcing, services
from runs.stops.schemas import StopBody
from web.bodies import details
from workflows.stops.scopes import find_target

LOOK_SECONDS = 0.5


class Command(BaseCommand):
    help = "Stops all runs of a team and world, of a machine, or of a workflow, and says when no action is under way any more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, help="the team's slug, for example demo")
        parser.add_argument("--mode", choices=("live", "test"), default="live", help="which world; default: live")
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument("--machine", metavar="ID", help="only the runs of this machine")
        scope.add_argument("--workflow", metavar="ID", help="only the runs of this workflow")
        parser.add_argument("--reason", required=True, help="everybody in the team reads it")
        parser.add_argument(
            "--wait", type=float, default=30.0, metavar="SECONDS", help="so long for the confirmation; default: 30"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        actor = command_line(team_named(options["team"]).id, options["mode"] == "test")
        scope = next((name for name in ("machine", "workflow") if options[name]), "team")
        try:
            body = StopBody.model_validate(
                {"scope": scope, "id": options["machine"] or options["workflow"], "reason": options["reason"]}
            )
        except ValidationError as error:
            raise CommandError("; ".join(f"{place[-1]}: {words}" for place, words, _ in details(error))) from error
        with refusals_as_errors():
            target_id = find_target(actor, body.scope, body.id)
        stop = services.request_stop(actor, body.scope, target_id, body.reason)
        self.stdout.write(f"{stop.id}: no new action starts. Runs that stand still: {stop.runs}.")
        self.stdout.write(_outcome(stop, options["wait"]))


def _outcome(stop: Stop, wait: float) -> str:
    """Enforce it until it is confirmed: there may be no clock that does."""
    until = time.monotonic() + wait
    while (stop := enforcing.enforce(stop)).confirmed_at is None and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    if stop.confirmed_at is None:
        return "Not confirmed yet: a worker may have an action in hand. The clock goes on with it."
    return "Confirmed: no action is under way."
