"""The audit: one list of every decision, every losing attempt at one, and every other change that somebody made."""
