"""Claims, votes and what else was done with requests are found in the log without reading all of it."""

import django.db.models.fields.json
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0004_plan"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="runevent",
            index=models.Index(
                condition=models.Q(("type", "approval")), fields=["created_at", "id"], name="handling_by_time"
            ),
        ),
        migrations.AddIndex(
            model_name="runevent",
            index=models.Index(
                condition=models.Q(("type", "approval")), fields=["run", "created_at"], name="handling_of_a_run"
            ),
        ),
        migrations.AddIndex(
            model_name="runevent",
            index=models.Index(
                django.db.models.fields.json.KeyTextTransform(
                    "id", django.db.models.fields.json.KeyTextTransform("by", "data")
                ),
                models.F("created_at"),
                condition=models.Q(("type", "approval")),
                name="handling_by",
            ),
        ),
    ]
