"""Which SDKs are installed, found without importing them: that takes seconds and tens of megabytes."""

import functools
import importlib.util

from inference.profiles.vendors import VENDORS
from inference.specs import live_profiles


@functools.cache
def installed(wire: str) -> bool:
    vendor = VENDORS.get(wire)
    try:
        return vendor is not None and importlib.util.find_spec(vendor.package) is not None
    except ModuleNotFoundError:  # of the package above
        return False


def missing() -> list[str]:
    """One sentence for each SDK that a live profile needs and that is not here."""
    wires = set(live_profiles().values_list("wire", flat=True))
    packages = sorted({VENDORS[wire].package for wire in wires if wire in VENDORS and not installed(wire)})
    return [
        f"the SDK {package} is not installed, so its models cannot be asked: run make models" for package in packages
    ]
