"""How workflows look on pages."""
