"""The four ways of talking to models. Each module is the only place that imports its SDK, and only when it is used."""

import logging
from importlib import import_module
from typing import TYPE_CHECKING, cast

from inference.errors import ModelMisconfigured, ModelProblem

if TYPE_CHECKING:
    from inference.specs import Spec
    from inference.wires.base import Wire

log = logging.getLogger(__name__)
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
    try:
        return cast("Wire", getattr(import_module(module), name)(spec))
    except ModelProblem:
        raise
    except Exception as error:
        log.exception("the wire of the profile %s cannot be used", spec.name)
        why = f"The SDK of the profile {spec.name} does not work here ({type(error).__name__}): run make models."
        raise ModelMisconfigured(why) from error
