"""The database of an installation: how it is reached, how long a session may hold what others need, how many there are."""
