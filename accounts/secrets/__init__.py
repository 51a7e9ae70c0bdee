"""Secrets of a team: values and one-time codes that its runs put in and nobody reads again (docs/api/runs.md section 11)."""
