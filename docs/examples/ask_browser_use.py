"""Actions of browser-use that ask: python ask_browser_use.py AGENT AMOUNT …

What the agent's model would call is called here by its registry, without a browser and without a model.
"""

import asyncio
import sys

from browser_use import ActionResult, Tools
from countersign.browser_use import Asking

tools: Tools = Tools()
asking = Asking()
asking.add_ask_human(tools)


@tools.action("Pay some Euro")
@asking.requires_approval(risk="spend")
async def pay(amount: int) -> ActionResult:
    return ActionResult(extracted_content=f"paid {amount}")


async def main(amounts: list[int]) -> None:
    for amount in amounts:
        result = await tools.registry.execute_action("pay", {"amount": amount})
        print(result.extracted_content or result.error)


if __name__ == "__main__":
    asyncio.run(main([int(amount) for amount in sys.argv[2:]]))
