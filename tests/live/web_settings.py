"""Settings of the web processes that the tests start: short silences, a small pool."""

from config.settings import *  # noqa: F403

SSE_KEEPALIVE_SECONDS = 0.5
