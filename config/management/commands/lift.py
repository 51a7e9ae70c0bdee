"""`manage.py lift --team demo STOP`: what was stopped goes on, with its time back."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actor import command_line
from config.management.teams import team_named
from machines.models import Stop
from runs.stops import enforcing, services
from runs.stops.access import in_force
from web.errors import Refusal


class Command(BaseCommand):
    help = "Lists the stops that stand over a team and world, and lifts those that are named."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("stops", nargs="*", metavar="STOP", help="the id of a stop; none lists those that stand")
        parser.add_argument("--team", required=True, help="the team's slug, for example demo")
        parser.add_argument("--mode", choices=("live", "test"), default="live", help="which world; default: live")
        parser.add_argument("--all", action="store_true", help="lift all that stand")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = command_line(team_named(options["team"]).id, options["mode"] == "test")
        standing = list(in_force(actor))
        ids = [stop.id for stop in standing] if options["all"] else options["stops"]
        if not ids:
            for stop in standing:
                self.stdout.write(_line(stop))
        for stop_id in ids:
            try:
                lifted = services.lift(actor, stop_id)
            except Refusal as refusal:
                raise CommandError(f"{stop_id}: {refusal.message}") from refusal
            enforcing.let_go_on(actor, lifted)
            self.stdout.write(f"{stop_id}: lifted.")


def _line(stop: Stop) -> str:
    what = f"{stop.scope} {stop.target_id}" if stop.target_id else stop.scope
    said = "confirmed" if stop.confirmed_at else "not confirmed yet"
    return f"{stop.id}: {what}, since {stop.requested_at:%Y-%m-%d %H:%M:%S} UTC, {said}, by {stop.requested_by['name']}: {stop.reason}"
