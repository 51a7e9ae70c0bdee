"""The client of OpenAI's SDK, for the two wires that speak through it."""

from types import ModuleType
from typing import Any

from inference.specs import Spec
from inference.wires import transport

VENDOR = "https://api.openai.com/v1"


def connected(spec: Spec) -> tuple[ModuleType, Any]:
    """Heavy: it imports the SDK."""
    import openai

    client = openai.AsyncOpenAI(
        api_key=spec.key or "none",
        base_url=spec.base_url or VENDOR,
        max_retries=0,
        http_client=transport.http_client(openai, spec),
    )
    # The SDK reads these from the environment; they belong to another key.
    client.organization = client.project = client.admin_api_key = None
    return openai, client
