"""The throw-away server of the tests, and how it is spoken to."""

from django.db import connection

from database.sql import prepared


def test_the_suite_runs_on_postgresql(transactional_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW fsync")
        assert cursor.fetchone() is not None


def test_what_is_said_to_be_prepared_is_planned_once(db: None) -> None:
    """Django tells psycopg to prepare nothing unless the settings name a threshold."""
    for team_id in ("a", "b"):
        prepared("SELECT name FROM accounts_team WHERE id = %(planned_once)s", {"planned_once": team_id})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement LIKE 'SELECT name FROM%'"
        )
        assert cursor.fetchall() == [(2,)]
