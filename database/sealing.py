"""Secrets at rest: Fernet (AES-128-CBC with HMAC-SHA256) under a key derived from SECRET_KEY."""

import base64
import functools
import hashlib
import hmac
import json
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings

REDACTED = "[redacted]"  # stands where a secret was


@functools.cache
def _fernet(secret: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"countersign.seal:" + secret.encode()).digest()))


def seal(value: Any) -> bytes:
    """Encrypt anything that JSON can hold."""
    return _fernet(settings.SECRET_KEY).encrypt(json.dumps(value).encode())


def unseal(token: bytes | memoryview) -> Any:
    return json.loads(_fernet(settings.SECRET_KEY).decrypt(bytes(token)))


def keyed_hash(text: str) -> str:
    """HMAC-SHA256 (hex): compares secrets for equality without keeping them."""
    return hmac.new(settings.SECRET_KEY.encode(), text.encode(), "sha256").hexdigest()
