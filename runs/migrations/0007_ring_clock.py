from django.db import migrations, models

# A deadline that is near; a stop that a worker is to confirm, and one that the run above waits for.
RUNS = """
CREATE TRIGGER ring_clock AFTER INSERT OR UPDATE OF status, deadline_at, stop_confirmed_at ON runs_run
FOR EACH ROW WHEN (
  NEW.deadline_at < clock_timestamp() + interval '10 s'
  OR (NEW.status = 'cancelled' AND NEW.cancel_requested_at IS NOT NULL
      AND (NEW.stop_confirmed_at IS NULL OR NEW.parent_id IS NOT NULL)))
EXECUTE FUNCTION ring_clock()
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_ring_clock"), ("runs", "0006_workflow_runs")]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                fields=["lease_until"],
                name="stops_to_confirm",
                condition=models.Q(
                    status="cancelled", stop_confirmed_at__isnull=True, cancel_requested_at__isnull=False
                ),
            ),
        ),
        migrations.RunSQL(RUNS, "DROP TRIGGER ring_clock ON runs_run"),
    ]
