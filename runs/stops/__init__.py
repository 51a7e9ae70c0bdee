"""Stops: nothing in a team, on a machine or of a workflow acts until an admin lifts them (docs/api/approvals.md section 14)."""
