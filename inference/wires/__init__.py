"""The four ways of talking to models. Each module is the only place that imports its SDK, and only when it is used."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from inference.errors import ModelMisconfigured

if TYPE_CHECKING:
    from inference.profiles import Spec
    from inference.wires.base import Wire

WIRES = {
    "anthropic": ("inference.wires.anthropic", "AnthropicWire"),
    "openai": ("inference.wires.responses", "ResponsesWire"),
    "compatible": ("inference.wires.chat", "ChatWire"),
    "gemini": ("inference.wires.gemini", "GeminiWire"),
}


def wire_for(spec: "Spec") -> "Wire":
    """A new wire of this profile. Its SDK, which takes seconds to import, comes with its first call (transport.Client).

    Raises ModelMisconfigured where the SDK is not installed, or a key is missing.
    """
    if spec.wire not in WIRES:
        raise ModelMisconfigured(f"The wire “{spec.wire}” of the profile {spec.name} is not known here.")
    module, name = WIRES[spec.wire]
    return cast("Wire", getattr(import_module(module), name)(spec))
