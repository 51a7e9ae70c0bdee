from django.db import migrations

# What is due soon wakes the clock (docs/adr/0010); what is due later it sees in time by itself.
FUNCTION = """
CREATE FUNCTION ring_clock() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('clock', ''); RETURN NULL; END $$
"""
DELIVERIES = """
CREATE TRIGGER ring_clock AFTER INSERT OR UPDATE OF status, next_attempt_at, queued_until ON accounts_webhookdelivery
FOR EACH ROW WHEN (
  NEW.status = 'pending' AND greatest(NEW.next_attempt_at, NEW.queued_until) < clock_timestamp() + interval '10 s')
EXECUTE FUNCTION ring_clock()
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0007_risk_floor_modes")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION ring_clock()"),
        migrations.RunSQL(DELIVERIES, "DROP TRIGGER ring_clock ON accounts_webhookdelivery"),
    ]
