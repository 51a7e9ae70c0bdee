"""Secrets and signatures of webhooks. The signed bytes are the bytes sent."""

import base64
import hmac
import secrets

from web import aliases

PREFIX = "whsec_"
SHOWN = 10  # characters of a secret that later reads show


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def cut(secret: str) -> str:
    """A secret as it is shown after its first time."""
    return f"{secret[:SHOWN]}..."


def hex_signature(secret: str, t: int, body: bytes) -> str:
    """HMAC-SHA256 with the full secret string as key over `<t>.<body>`."""
    return hmac.new(secret.encode(), f"{t}.".encode() + body, "sha256").hexdigest()


def base64_signature(secret: str, event_id: str, t: int, body: bytes) -> str:
    """The symmetric signature of Standard Webhooks 1.0: the key is what the part after `whsec_` decodes to."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.new(key, f"{event_id}.{t}.".encode() + body, "sha256").digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def signed_headers(secrets_: tuple[str, ...], event_id: str, t: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt; a second secret is the one before the last rotation."""
    signature = f"t={t},v1={hex_signature(secrets_[0], t, body)}"
    headers = {
        "Countersign-Signature": signature,
        **aliases.signature_headers(signature),
        "webhook-id": event_id,
        "webhook-timestamp": str(t),
        "webhook-signature": " ".join(base64_signature(secret, event_id, t, body) for secret in secrets_),
    }
    for previous in secrets_[1:]:
        headers["Countersign-Signature-Previous"] = f"t={t},v1={hex_signature(previous, t, body)}"
    return headers
