"""Stops: nothing in a team, on a machine or of a workflow acts until an admin lifts them (contract/approvals.md section 14)."""
