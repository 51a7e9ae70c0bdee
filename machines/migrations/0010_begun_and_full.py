"""For which run a machine was made ready last, what its home holds on disk, and whether it was stopped for that."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("machines", "0009_stops"),
    ]

    operations = [
        migrations.AddField(
            model_name="machine",
            name="begun_for",
            field=models.CharField(max_length=40, null=True),
        ),
        migrations.AddField(
            model_name="machine",
            name="home_bytes",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="machine",
            name="full_at",
            field=models.DateTimeField(null=True),
        ),
    ]
