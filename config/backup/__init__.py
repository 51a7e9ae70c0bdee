"""`manage.py backup` and `manage.py restore`: an installation in one sealed file, and back (docs/operations.md)."""
