"""`manage.py lift --team demo STOP`: what was stopped goes on, with its time back."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from accounts.actor import command_line
from config.management.refusals import refusals_as_errors
from config.management.teams import team_named
from machines.models import Stop
from runs.stops import enforcing, services
from runs.stops.access import in_force


class Command(BaseCommand):
    help = "Lists the stops that stand over a team and world, and lifts those that are named."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("stops", nargs="*", metavar="STOP", help="the id of a stop; none lists those that stand")
        parser.add_argument("--team", required=True, help="the team's slug, for example demo")
        parser.add_argument("--mode", choices=("live", "test"), default="live", help="which world; default: live")
        parser.add_argument("--all", action="store_true", help="lift all that stand")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = command_line(team_named(options["team"]).id, options["mode"] == "test")
        stops = list(in_force(actor))
        ids = [stop.id for stop in stops] if options["all"] else options["stops"]
        if not ids:
            for stop in stops:
                self.stdout.write(_line(stop))
        for stop_id in ids:
            with refusals_as_errors(f"{stop_id}: "):
                stop = services.lift(actor, stop_id)
            enforcing.let_go_on(actor, stop)
            self.stdout.write(f"{stop_id}: lifted.")


def _line(stop: Stop) -> str:
    what = f"{stop.scope} {stop.target_id}" if stop.target_id else stop.scope
    state = "confirmed" if stop.confirmed_at else "not confirmed yet"
    since = f"since {stop.requested_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{stop.id}: {what}, {since}, {state}, by {stop.requested_by['name']}: {stop.reason}"
