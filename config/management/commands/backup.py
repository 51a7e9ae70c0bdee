"""`manage.py backup FILE`: the whole installation in one sealed file, while it runs (docs/operations.md)."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.backup.errors import BackupError
from config.backup.making import make
from config.backup.passphrase import passphrase
from config.postgres.home import PostgresError
from config.up.terminal import CannotStart, say


class Command(BaseCommand):
    help = "Writes database, pictures, homes of machines and the secret key into a new file that a passphrase opens."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="where to write it; nothing may stand there yet")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            make(options["file"].absolute(), passphrase(new=True), say)
        except (BackupError, CannotStart, PostgresError) as sentence:
            raise CommandError(str(sentence)) from sentence
