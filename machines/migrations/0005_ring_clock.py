from django.db import migrations

LEASES = """
CREATE TRIGGER ring_clock AFTER INSERT OR UPDATE OF expires_at, idle_expires_at ON machines_takeoverlease
FOR EACH ROW WHEN (
  NEW.ended_at IS NULL AND least(NEW.expires_at, NEW.idle_expires_at) < clock_timestamp() + interval '10 s')
EXECUTE FUNCTION ring_clock()
"""
GONE = """
CREATE TRIGGER ring_clock AFTER UPDATE OF status ON machines_machine
FOR EACH ROW WHEN (NEW.status IN ('terminating', 'terminated')) EXECUTE FUNCTION ring_clock()
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_ring_clock"), ("machines", "0004_metering")]

    operations = [
        migrations.RunSQL(LEASES, "DROP TRIGGER ring_clock ON machines_takeoverlease"),
        migrations.RunSQL(GONE, "DROP TRIGGER ring_clock ON machines_machine"),
    ]
