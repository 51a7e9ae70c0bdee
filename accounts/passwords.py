"""Signing in by password. A few are hashed at a time: each hash takes 100 MB, and anybody may ask for one by signing in wrongly."""

import threading

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import Argon2PasswordHasher

from database.sql import give_back_connection

AT_ONCE = 4  # in one process
_turns = threading.BoundedSemaphore(AT_ONCE)


class Argon2(Argon2PasswordHasher):
    """Who waits for a turn holds no connection to the database meanwhile."""

    def encode(self, password: str, salt: str) -> str:
        give_back_connection()
        with _turns:
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        give_back_connection()
        with _turns:
            return super().verify(password, encoded)


class ByPassword(ModelBackend):
    """Django's own; sessions name it."""
