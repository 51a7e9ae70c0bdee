"""Imported first, this skips a file of tests where the SDK is not installed."""

import pytest

pytest.importorskip("anthropic", reason="The SDK anthropic is not installed: make models")
