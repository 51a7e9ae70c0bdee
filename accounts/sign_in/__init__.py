"""Signing in and out; which team, world and colours one looks at."""
