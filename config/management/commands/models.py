"""`manage.py models`: the models of the installation from the command line, as the page Models has them."""

import getpass
import json
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.access import installation_team
from accounts.actor import Actor, command_line
from config.management.refusals import refusals_as_errors
from inference.models import Profile
from inference.profiles import services, trials
from inference.profiles.access import month_start, profiles, use_since
from inference.profiles.vendors import VENDORS, usual_prices


class Command(BaseCommand):
    help = "Lists, adds, tests, enables and disables the models that agents think with, and chooses the default."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list", help="every model, with its last test and this month's calls and cost")
        add = verbs.add_parser("add", help="add a model; its key is asked for, or read from a variable")
        add.add_argument("name", help="what runs call it")
        add.add_argument("--wire", required=True, choices=tuple(VENDORS))
        add.add_argument("--model", default="", help="default: the vendor's usual one")
        add.add_argument("--base-url", default="", help="default: the vendor's")
        add.add_argument("--key-from", metavar="VARIABLE", help="the variable of the environment that holds the key")
        add.add_argument("--no-key", action="store_true", help="the server wants none")
        add.add_argument("--options", default="{}", metavar="JSON", help='its options, for example {"tools": "text"}')
        for verb, words in (
            ("test", "click on five targets with it"),
            ("disable", "new runs cannot have it"),
            ("enable", "they can again"),
            ("delete", "only what no run used"),
        ):
            verbs.add_parser(verb, help=words).add_argument("name")
        default = verbs.add_parser("default", help="it thinks where nobody chose an agent")
        default.add_argument("name")
        default.add_argument("--anyway", action="store_true", help="although it has not passed its test")

    def handle(self, *args: Any, **options: Any) -> None:
        team = installation_team()
        if team is None:
            raise CommandError("There is no team yet: start once with manage.py up.")
        actor = command_line(team.id)
        with refusals_as_errors():
            getattr(self, options["verb"])(actor, options)

    def list(self, actor: Actor, options: dict[str, Any]) -> None:
        rows = list(profiles(actor))
        uses = use_since(month_start(), [row.name for row in rows])
        for row in rows:
            use = uses.get(row.name)
            spent = f"{use.calls} calls, {use.money}{' and unknown' if use.unknown else ''}" if use else "0 calls"
            marks = " ".join(
                word for word, there in (("default", row.is_default), ("disabled", row.disabled_at)) if there
            )
            self.stdout.write(
                f"{row.name:<20} {row.wire:<11} {row.model:<28} {_tested(row):<15} {spent} {marks}".rstrip()
            )
        if not rows:
            self.stdout.write("No models. The playbook agent needs none.")

    def add(self, actor: Actor, options: dict[str, Any]) -> None:
        wire = options["wire"]
        model = options["model"] or VENDORS[wire].model
        row = services.create_profile(
            actor,
            {
                "name": options["name"],
                "wire": wire,
                "model": model,
                "base_url": options["base_url"],
                "key": _key(options),
                "options": _options(options["options"]),
                "prices": usual_prices(wire, model),
                "limits": {},
            },
        )
        self.stdout.write(f"{row.name} is added. Try it: manage.py models test {row.name}")

    def test(self, actor: Actor, options: dict[str, Any]) -> None:
        """Exit code 1 when it failed."""
        row = trials.start(actor, options["name"], in_thread=False)
        begun = trials.trial_of(row)
        assert begun is not None
        trials.run(row.id, begun.id)
        row.refresh_from_db()
        trial = trials.trial_of(row)
        assert trial is not None
        for shot in trial.targets:
            place = f"at {shot['x']}, {shot['y']}" if shot["x"] is not None else ""
            self.stdout.write(
                f"{'hit' if shot['hit'] else 'missed':<8}{shot['name']:<10}{place} {shot['problem']}".rstrip()
            )
        if not trial.passed:
            raise CommandError(trial.problem or "Another test of it was begun meanwhile.")
        self.stdout.write("passed")

    def default(self, actor: Actor, options: dict[str, Any]) -> None:
        row = services.set_default(actor, options["name"], anyway=options["anyway"])
        self.stdout.write(f"{row.name} is the default.")

    def disable(self, actor: Actor, options: dict[str, Any]) -> None:
        self.stdout.write(f"{services.disable_profile(actor, options['name']).name} is disabled.")

    def enable(self, actor: Actor, options: dict[str, Any]) -> None:
        self.stdout.write(f"{services.enable_profile(actor, options['name']).name} is enabled.")

    def delete(self, actor: Actor, options: dict[str, Any]) -> None:
        services.delete_profile(actor, options["name"])
        self.stdout.write(f"{options['name']} is deleted.")


def _tested(row: Profile) -> str:
    if services.passed(row):
        return "passed"
    return "not tested" if row.tested is None or row.tested["version"] != row.version else "not passed"


def _options(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise CommandError("--options must be a JSON object.")
    return value


def _key(options: dict[str, Any]) -> str | None:
    """Never from the command line itself, which every process of the computer can read."""
    if options["no_key"]:
        return None
    if name := options["key_from"]:
        if not os.environ.get(name):
            raise CommandError(f"The variable {name} is not set.")
        return os.environ[name].strip()
    typed = getpass.getpass("API key: ") if sys.stdin.isatty() else sys.stdin.readline()
    return typed.strip() or None
