"""Sessions in the database, as Django keeps them; the one of every page is read by a statement that is planned once."""

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from database.sql import fetch


class SessionStore(db.SessionStore):
    def _get_session_from_db(self) -> Session | None:
        values = {"key": self.session_key, "now": timezone.now()}
        session = fetch(Session, "session_key = %(key)s AND expire_date > %(now)s", values)
        return session if session is not None else super()._get_session_from_db()  # type: ignore[misc]
