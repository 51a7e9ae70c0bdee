"""Decisions and comments say which team and world they are of, so that the audit finds them without their request."""

import django.db.models.deletion
import django.db.models.fields.json
from django.db import migrations, models

OF_THEIR_REQUEST = """
UPDATE approvals_decision d SET team_id = a.team_id, test = a.test FROM approvals_approval a WHERE a.id = d.approval_id;
UPDATE approvals_comment c SET team_id = a.team_id, test = a.test FROM approvals_approval a WHERE a.id = c.approval_id;
"""


def team(**more: bool) -> models.ForeignKey:
    kept = django.db.models.deletion.PROTECT
    return models.ForeignKey(db_index=False, on_delete=kept, related_name="+", to="accounts.team", **more)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_audit_names_its_world"),
        ("approvals", "0003_closed_of_a_team"),
    ]

    operations = [
        *(migrations.AddField(name, "team", team(null=True)) for name in ("decision", "comment")),
        *(migrations.AddField(name, "test", models.BooleanField(null=True)) for name in ("decision", "comment")),
        migrations.RunSQL(OF_THEIR_REQUEST, migrations.RunSQL.noop),
        *(migrations.AlterField(name, "team", team()) for name in ("decision", "comment")),
        *(migrations.AlterField(name, "test", models.BooleanField()) for name in ("decision", "comment")),
        migrations.AddIndex(
            model_name="comment",
            index=models.Index(fields=["team", "test", "-at", "-id"], name="comments_of_a_team"),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(fields=["team", "test", "-at", "-id"], name="decisions_of_a_team"),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(fields=["team", "test", "verdict", "-at", "-id"], name="decisions_by_verdict"),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(
                models.F("team"),
                models.F("test"),
                django.db.models.fields.json.KeyTextTransform("id", "actor"),
                models.OrderBy(models.F("at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="decisions_by_actor",
            ),
        ),
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(
                condition=models.Q(("counts", False)),
                fields=["team", "test", "-at", "-id"],
                name="lost_decisions_of_a_team",
            ),
        ),
    ]
