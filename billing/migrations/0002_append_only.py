"""The ledger's rows are never changed or deleted: the database sees to it."""

from django.db import migrations

FORBID = """
CREATE FUNCTION billing_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'ledger rows are never changed or deleted' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON billing_transaction
  FOR EACH ROW EXECUTE FUNCTION billing_append_only();
"""
ALLOW = "DROP TRIGGER ledger_append_only ON billing_transaction; DROP FUNCTION billing_append_only()"


class Migration(migrations.Migration):
    dependencies = (("billing", "0001_initial"),)
    operations = (migrations.RunSQL(FORBID, ALLOW),)
