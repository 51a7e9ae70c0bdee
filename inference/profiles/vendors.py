"""What a new profile starts with, by wire. Everything in it can be changed on the page.

Models and prices were read on PRICES_OF from the vendors' public price lists; they change without notice, so whoever pays
should compare them. Long requests (beyond 200,000 or 272,000 tokens) cost more with some vendors; that is not in here.
"""

from dataclasses import dataclass, field

from inference.specs import WireName

PRICES_OF = "2026-11-28"
Prices = dict[str, float]  # cents per million tokens, by the names of Spec.prices


@dataclass(frozen=True)
class Vendor:
    """`package`: the module of its SDK. `prices` by model name. `variable`: where a key of it usually stands."""

    wire: WireName
    title: str
    package: str
    name: str  # of a profile that is made from the environment
    model: str
    variable: str
    address: str = ""  # of the SDK's own base URL; for people
    prices: dict[str, Prices] = field(default_factory=dict)


VENDORS: dict[str, Vendor] = {v.wire: v for v in (
    Vendor(
        "anthropic", "Anthropic Messages", "anthropic", "claude", "claude-opus-5-5", "ANTHROPIC_API_KEY",
        "https://api.anthropic.com",
        {
            "claude-opus-5-5": {"input": 400, "cached": 20, "cache_written": 500, "output": 2000},
            "claude-opus-5": {"input": 500, "cached": 50, "cache_written": 625, "output": 2500},
        },
    ),
    Vendor(
        "openai", "OpenAI Responses", "openai", "gpt", "gpt-6-astra", "OPENAI_API_KEY", "https://api.openai.com/v1",
        {
            "gpt-6-astra": {"input": 1000, "cached": 100, "cache_written": 1250, "output": 5000},
            "gpt-6.2-astra": {"input": 800, "cached": 40, "output": 4000},
        },
    ),
    Vendor(
        "gemini", "Gemini", "google.genai", "gemini", "gemini-3.5-flash", "GEMINI_API_KEY",
        "https://generativelanguage.googleapis.com",
        {"gemini-3.5-flash": {"input": 150, "cached": 15, "output": 900}},
    ),
    Vendor("compatible", "OpenAI-compatible server", "openai", "local", "default", "MODEL_BASE_URL"),
)}  # fmt: skip


def usual_prices(wire: str, model: str) -> Prices:
    """Empty where none are known: then calls cost an unknown amount, not nothing."""
    return dict(VENDORS[wire].prices.get(model, {}))
