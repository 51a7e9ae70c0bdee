"""Imported first, this skips a file of tests where the SDK is not installed."""

import pytest

pytest.importorskip("openai", reason="The SDK openai is not installed: make models")
