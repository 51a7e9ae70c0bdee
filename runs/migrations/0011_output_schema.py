from django.db import migrations

import accounts.kept_json


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0010_thoughts"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="output_schema",
            field=accounts.kept_json.KeptJSONField(null=True),
        ),
    ]
