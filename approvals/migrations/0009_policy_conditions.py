from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("approvals", "0008_ring_clock")]

    operations = [
        migrations.RemoveConstraint(model_name="policy", name="one_active_policy"),
        migrations.AddField(
            model_name="policy",
            name="when",
            field=models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
        ),
        migrations.AddConstraint(
            model_name="policy",
            constraint=models.UniqueConstraint(
                condition=models.Q(("revoked_at__isnull", True)),
                fields=("team", "test", "tool", "effect", "host", "end_user", "run_id", "when"),
                name="one_active_policy",
                nulls_distinct=False,
            ),
        ),
    ]
