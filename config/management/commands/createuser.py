"""`manage.py createuser --team demo --email e --password p --role approver`."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email

from accounts.models import Role, Team
from accounts.services import create_user


class Command(BaseCommand):
    help = "Makes a person, or gives an existing one these roles in the team."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--team", required=True)
        parser.add_argument("--email", required=True)
        parser.add_argument("--password", required=True)
        parser.add_argument(
            "--role", action="append", choices=Role.values, required=True, help="may be given several times"
        )
        parser.add_argument("--name", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team {options['team']}.")
        try:
            validate_email(options["email"])
            validate_password(options["password"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        user = create_user(team, options["email"], options["password"], options["role"], options["name"])
        self.stdout.write(user.id)
