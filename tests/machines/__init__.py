"""Machines at their doors, their rows, and their processes."""
