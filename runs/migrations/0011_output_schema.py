from django.db import migrations

import database.kept_json


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0010_thoughts"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="output_schema",
            field=database.kept_json.KeptJSONField(null=True),
        ),
    ]
