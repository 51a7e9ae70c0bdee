"""Imported first, this skips a file of tests where the SDK is not installed."""

import pytest

pytest.importorskip("google.genai", reason="The SDK google-genai is not installed: make models")
