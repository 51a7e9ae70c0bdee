"""T-126: the vectors of the contract, reproduced byte for byte."""

import base64

import pytest

from accounts.webhooks.signing import base64_signature, cut, hex_signature, new_secret

SUCCEEDED = b'{"event":"run.succeeded","run_id":"run_123","status":"succeeded"}'
AWAITING = b'{"event":"run.awaiting_human","run_id":"run_456","reason":"captcha"}'


@pytest.mark.parametrize(
    ("secret", "t", "body", "signature"),
    [
        (
            "whsec_test_secret_123",
            1750000000,
            SUCCEEDED,
            "5f70978eab52dbf5838da76e5eb6c6c465560ce8e746ed8e6113c159d8bbb2d4",
        ),
        (
            "whsec_other_secret_456",
            1750000300,
            AWAITING,
            "844504f42b7498094a83cedd7e050fc2f7fa32593b0814cc514c4be52a932e63",
        ),
    ],
)
def test_T_126_hex_vectors(secret: str, t: int, body: bytes, signature: str) -> None:
    assert hex_signature(secret, t, body) == signature


def test_T_126_base64_vector() -> None:
    secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
    assert base64_signature(secret, "evt_1", 1750000000, SUCCEEDED) == "v1,eEiMief00Fo5rluMoKk2VN7SUempP4KG0+n/yT4VpU0="


def test_secrets_are_32_bytes_and_shown_cut() -> None:
    secret = new_secret()
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert cut(secret) == f"{secret[:10]}..."
    assert new_secret() != secret
