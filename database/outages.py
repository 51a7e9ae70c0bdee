"""What an error says about the installation: the database is away, a row is locked for too long, the disk is full."""

import errno

from django.db import Error, InterfaceError, InternalError, OperationalError

from web.errors import DatabaseAway, DiskFull, Locked, Unavailable

# Of PostgreSQL (appendix A of its manual): how it ends sessions, starts and stops, and has no room for one more.
_AWAY = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "53300"})
_LOCKED = frozenset({"55P03", "57014", "40P01", "40001"})  # lock_timeout, statement_timeout, deadlock, serialization
_FULL = "53100"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def _state(error: BaseException) -> str | None:
    """The SQLSTATE; None where the server could not say one, as when the connection broke."""
    state: str | None = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
    return state


def is_away(error: BaseException) -> bool:
    """The connection broke, was ended by the server, or could not be made. What was under way may have been done."""
    if not isinstance(error, (OperationalError, InterfaceError, InternalError)):
        return False
    state = _state(error)
    if state is None:
        return not isinstance(error, InternalError)
    return state.startswith("08") or state in _AWAY


def is_locked(error: BaseException) -> bool:
    """The transaction was ended because it waited, or worked, for too long. It may be tried again."""
    return isinstance(error, Error) and _state(error) in _LOCKED


def is_full(error: BaseException) -> bool:
    """There is no room for what was to be written, in the database or beside it."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return isinstance(error, Error) and _state(error) == _FULL


def passes(error: BaseException) -> bool:
    """Whether the same work may succeed when it is done again in a while."""
    return is_away(error) or is_locked(error) or is_full(error)


def unavailable(error: BaseException) -> Unavailable | None:
    """What a door answers to such an error; None for any other, which is a fault of ours."""
    if is_full(error):
        return DiskFull()
    if is_locked(error):
        return Locked()
    return DatabaseAway() if is_away(error) else None
