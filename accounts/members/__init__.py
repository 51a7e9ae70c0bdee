"""The people of a team: who they are, their roles, and their leaving."""
