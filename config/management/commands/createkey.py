"""`manage.py createkey --team demo --mode live|test`: prints only the key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.actor import LIVE_DEFAULT, SCOPES, TEST_DEFAULT
from accounts.keys.services import expand_scopes, hand_out_key
from config.first_run import owner_actor
from config.management.teams import team_named
from web.errors import Invalid


class Command(BaseCommand):
    help = "Makes an API key and prints it, once and alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True, help="the team's slug, for example demo")
        parser.add_argument("--mode", choices=("live", "test"), required=True)
        parser.add_argument("--scopes", help="'all' or a comma list; default: those of a new key of this world")
        parser.add_argument("--name", default="made on the command line")

    def handle(self, *args: Any, **options: Any) -> None:
        team = team_named(options["team"])
        test = options["mode"] == "test"
        scopes = TEST_DEFAULT if test else LIVE_DEFAULT
        if options["scopes"] == "all":
            scopes = frozenset(SCOPES)
        elif options["scopes"]:
            try:
                scopes = expand_scopes([s.strip() for s in options["scopes"].split(",")])
            except Invalid as error:
                raise CommandError("; ".join(d["msg"] for d in error.facts["details"])) from error
        self.stdout.write(hand_out_key(owner_actor(team, test), options["name"], scopes).key)
