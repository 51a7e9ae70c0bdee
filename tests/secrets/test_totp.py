"""Codes of the moment, held against the vectors of RFC 6238 (appendix B, SHA-1; its codes have eight digits)."""

import base64

import pytest

from accounts.secrets.totp import code, read_seed, seconds_left

SEED = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("at", "eight"),
    [
        (59, "94287082"), (1111111109, "07081804"), (1111111111, "14050471"), (1234567890, "89005924"),
        (2000000000, "69279037"), (20000000000, "65353130"),
    ],
)  # fmt: skip
def test_the_vectors_of_the_rfc(at: int, eight: str) -> None:
    assert code(SEED, at) == eight[-6:]


def test_a_code_holds_for_its_thirty_seconds() -> None:
    assert {code(SEED, at) for at in (60, 75, 89.9)} == {code(SEED, 60)}
    assert code(SEED, 90) != code(SEED, 89)
    assert [seconds_left(at) for at in (60, 89, 90)] == [30, 1, 30]


@pytest.mark.parametrize(
    "text", ["JBSW Y3DP EHPK 3PXP", "jbswy3dpehpk3pxp", "JBSW-Y3DP-EHPK-3PXP", "JBSWY3DPEHPK3PXP===="]
)
def test_a_seed_is_read_as_sites_print_it(text: str) -> None:
    assert read_seed(text) == "JBSWY3DPEHPK3PXP"
    assert code("JBSWY3DPEHPK3PXP", 0) == "282760"


def test_a_seed_whose_padding_was_left_out_is_whole() -> None:
    seed = base64.b32encode(bytes(range(18))).decode()
    assert seed.endswith("=")
    assert read_seed(seed) == seed.rstrip("=")
    assert code(seed.rstrip("="), 59) == code(read_seed(seed) or "", 59)


@pytest.mark.parametrize("text", ["", "====", "JBSWY3DP", "JBSWY3DPEHPK3PX1", "JBSWY3DPEHPK3PXPÄ", "A" * 17])
def test_what_is_no_seed_is_refused(text: str) -> None:
    assert read_seed(text) is None
