"""The throw-away server of the tests."""

from django.db import connection


def test_the_suite_runs_on_postgresql(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW fsync")
        assert cursor.fetchone() is not None
