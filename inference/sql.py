"""Statements that are written out, each with the benchmark that asks for it (docs/performance.md); all others are the ORM's."""

# P7: asked for every run that is started.
DEFAULT_PROFILE = "SELECT name FROM inference_profile WHERE is_default AND disabled_at IS NULL"
LIVE_PROFILE = "SELECT 1 FROM inference_profile WHERE name = %(name)s AND disabled_at IS NULL"
