"""Counting a request must not wait for the disk; losing the counts of a minute in a crash is harmless."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = (("accounts", "0001_initial"),)
    operations = (
        migrations.RunSQL("ALTER TABLE accounts_ratewindow SET UNLOGGED", "ALTER TABLE accounts_ratewindow SET LOGGED"),
    )
