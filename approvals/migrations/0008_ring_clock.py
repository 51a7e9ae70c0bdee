from django.db import migrations

REQUESTS = """
CREATE TRIGGER ring_clock AFTER INSERT OR UPDATE OF status, expires_at, remind_at, effect_pending, effective_at
ON approvals_approval FOR EACH ROW WHEN (
  (NEW.status = 'pending' AND least(NEW.expires_at, NEW.remind_at) < clock_timestamp() + interval '10 s')
  OR (NEW.effect_pending AND NEW.effective_at < clock_timestamp() + interval '10 s'))
EXECUTE FUNCTION ring_clock()
"""
NOTICES = """
CREATE TRIGGER ring_clock AFTER INSERT OR UPDATE OF status, next_attempt_at, queued_until ON approvals_notice
FOR EACH ROW WHEN (
  NEW.status = 'pending' AND greatest(NEW.next_attempt_at, NEW.queued_until) < clock_timestamp() + interval '10 s')
EXECUTE FUNCTION ring_clock()
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0008_ring_clock"), ("approvals", "0007_went_on")]

    operations = [
        migrations.RunSQL(REQUESTS, "DROP TRIGGER ring_clock ON approvals_approval"),
        migrations.RunSQL(NOTICES, "DROP TRIGGER ring_clock ON approvals_notice"),
    ]
