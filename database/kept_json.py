"""JSON that is kept as it was sent: the order of keys, which jsonb does not keep, means something to people."""

from typing import Any

from django.db import models
from psycopg.types.json import Json


class KeptJSONField(models.JSONField):
    """A column of PostgreSQL's type json. It can be read and written, not looked into."""

    def db_type(self, connection: Any) -> str:
        return "json"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return None if value is None else Json(value)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value  # the driver has parsed it
