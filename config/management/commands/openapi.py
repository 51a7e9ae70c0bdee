"""`manage.py openapi`: writes docs/openapi.json, the stored copy of the API's document."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config.api import api


def document() -> str:
    """The document as text, the same for the same routes."""
    return json.dumps(api.get_openapi_schema(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


class Command(BaseCommand):
    help = "Writes docs/openapi.json from the routes as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        path = settings.BASE_DIR / "docs" / "openapi.json"
        path.write_text(document())
        self.stdout.write(str(path.relative_to(settings.BASE_DIR)))
