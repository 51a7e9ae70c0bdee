"""What stands in the log with its whole history: faults of ours. A bad moment of the installation is one line (status.py)."""

import logging


def is_fault(record: logging.LogRecord) -> bool:
    from database.outages import unavailable

    error = record.exc_info[1] if record.exc_info else None
    return error is None or unavailable(error) is None
