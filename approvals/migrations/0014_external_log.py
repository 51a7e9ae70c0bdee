"""What was done with requests of programs, by time: the audit reads it."""

from django.db import migrations, models

HANDLINGS = ("vote", "claimed", "released", "assigned", "extended", "undone", "void", "result")


class Migration(migrations.Migration):
    dependencies = [("approvals", "0013_policy_conditions_hash")]

    operations = [
        migrations.AddIndex(
            model_name="approvalevent",
            index=models.Index(
                condition=models.Q(("type__in", HANDLINGS)),
                fields=["created_at", "id"],
                name="external_handling_by_time",
            ),
        ),
    ]
