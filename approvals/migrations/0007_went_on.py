from django.db import migrations, models

# Whom the second reminder was for already.
OF_THEIR_REMINDERS = "UPDATE approvals_approval SET went_on = true WHERE status = 'pending' AND reminders = 2"


class Migration(migrations.Migration):
    dependencies = [("approvals", "0006_reminders")]

    operations = [
        migrations.AddField(model_name="approval", name="went_on", field=models.BooleanField(default=False)),
        migrations.RunSQL(OF_THEIR_REMINDERS, migrations.RunSQL.noop),
    ]
