"""A team: its settings, and the version of its rules."""
