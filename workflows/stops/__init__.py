"""Doors of stops. They stand here because a stop may name a workflow; what it does is runs/stops/."""
