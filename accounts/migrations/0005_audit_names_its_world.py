"""Audit entries name their world, can be found by kind, person, subject and run, and are never rewritten.

Of older entries the world is known where a key acted or was changed; the others count for both.
"""

import django.db.models.fields.json
from django.db import migrations, models

OF_ITS_KEY = """
UPDATE accounts_auditentry a SET test = k.test FROM accounts_apikey k
WHERE k.team_id = a.team_id AND k.id IN (a.subject, a.actor->>'id') AND a.verb NOT LIKE 'team.%'
"""
FORBID = """
CREATE FUNCTION accounts_audit_never_rewritten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit entries are never rewritten' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER audit_never_rewritten BEFORE UPDATE ON accounts_auditentry
  FOR EACH ROW EXECUTE FUNCTION accounts_audit_never_rewritten();
"""
ALLOW = "DROP TRIGGER audit_never_rewritten ON accounts_auditentry; DROP FUNCTION accounts_audit_never_rewritten()"


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_next_group"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="auditentry",
            name="audit_of_a_team",
        ),
        migrations.AddField(
            model_name="auditentry",
            name="test",
            field=models.BooleanField(null=True),
        ),
        migrations.RunSQL(OF_ITS_KEY, migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["team", "-at", "-id"], name="audit_of_a_team"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(
                models.F("team"),
                models.Func(
                    models.F("verb"),
                    models.Value("."),
                    models.Value(1),
                    function="split_part",
                    output_field=models.CharField(),
                ),
                models.OrderBy(models.F("at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="audit_by_kind",
            ),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(
                models.F("team"),
                django.db.models.fields.json.KeyTextTransform("id", "actor"),
                models.OrderBy(models.F("at"), descending=True),
                models.OrderBy(models.F("id"), descending=True),
                name="audit_by_actor",
            ),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(fields=["team", "subject", "-at", "-id"], name="audit_by_subject"),
        ),
        migrations.AddIndex(
            model_name="auditentry",
            index=models.Index(
                django.db.models.fields.json.KeyTextTransform("run_id", "data"),
                models.OrderBy(models.F("at"), descending=True),
                condition=models.Q(("data__has_key", "run_id")),
                name="audit_of_a_run",
            ),
        ),
        migrations.RunSQL(FORBID, ALLOW),
    ]
