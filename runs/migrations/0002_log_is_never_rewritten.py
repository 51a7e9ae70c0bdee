"""Events are never rewritten; only retention deletes them."""

from django.db import migrations

FORBID = """
CREATE FUNCTION runs_log_never_rewritten() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'events are never rewritten' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER log_never_rewritten BEFORE UPDATE ON runs_runevent
  FOR EACH ROW EXECUTE FUNCTION runs_log_never_rewritten();
"""
ALLOW = "DROP TRIGGER log_never_rewritten ON runs_runevent; DROP FUNCTION runs_log_never_rewritten()"


class Migration(migrations.Migration):
    dependencies = (("runs", "0001_initial"),)
    operations = (migrations.RunSQL(FORBID, ALLOW),)
