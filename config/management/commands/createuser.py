"""`manage.py createuser --team demo --email e --password p --role approver`."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email

from accounts.actor import command_line
from accounts.members.services import create_user, set_password_of
from accounts.models import Role, Team, User


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
        parser.add_argument(
            "--reset-password", action="store_true", help="give a person who exists this password; their sessions end"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        team = Team.objects.filter(slug=options["team"]).first()
        if team is None:
            raise CommandError(f"There is no team {options['team']}.")
        try:
            validate_email(options["email"])
            validate_password(options["password"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        exists = User.objects.filter(email__iexact=options["email"]).exists()
        user = create_user(team, options["email"], options["password"], options["role"], options["name"])
        if exists and options["reset_password"]:
            set_password_of(command_line(team.id), user, options["password"])
        elif exists and not user.check_password(options["password"]):
            self.stderr.write(f"{user.email} exists and keeps the old password. --reset-password sets the new one.")
        self.stdout.write(user.id)
