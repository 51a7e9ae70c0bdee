"""The four ways of talking to models. Each module is the only place that imports its SDK, and only when it is used."""

from importlib import import_module
from typing import TYPE_CHECKING, cast

from inference.errors import ModelMisconfigured

if TYPE_CHECKING:
    from inference.profiles import Spec
    from inference.wires.base import Wire

# Each wire's module and class, and the extra of pyproject.toml that holds its SDK.
WIRES = {
    "anthropic": ("inference.wires.anthropic", "AnthropicWire", "anthropic"),
    "openai": ("inference.wires.responses", "ResponsesWire", "openai"),
    "compatible": ("inference.wires.chat", "ChatWire", "openai"),
    "gemini": ("inference.wires.gemini", "GeminiWire", "gemini"),
}


def wire_for(spec: "Spec") -> "Wire":
    """A new wire of this profile. The first one of a kind imports an SDK, which takes seconds: never call it in an event loop.

    Raises ModelMisconfigured where the SDK is not installed.
    """
    if spec.wire not in WIRES:
        raise ModelMisconfigured(f"The wire “{spec.wire}” of the profile {spec.name} is not known here.")
    module, name, extra = WIRES[spec.wire]
    try:
        return cast("Wire", getattr(import_module(module), name)(spec))
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] in ("inference", "machines"):
            raise  # a fault of ours
        raise ModelMisconfigured(
            f"The profile {spec.name} needs the SDK “{extra}”, which is not installed: run make models."
        ) from missing
