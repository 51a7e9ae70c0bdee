"""Web processes of a test."""

from tests.live.web_process import web  # noqa: F401  a fixture
