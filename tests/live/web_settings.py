"""Settings of the web processes that the tests start: short silences, a small pool."""

from config.settings import *  # noqa: F403

SSE_KEEPALIVE_SECONDS = 0.5
UNREAD_SECONDS = 6.0
STREAM_CONNECTS_PER_MINUTE = 600
