"""An action of browser-use whose wait ends before people decide: the model calls it again. Run by test_adapters.py."""

import asyncio

from browser_use import ActionResult, Tools
from countersign.browser_use import Asking

tools: Tools = Tools()
asking = Asking(wait=1)
asking.add_ask_human(tools)


@tools.action("Pay some Euro")
@asking.requires_approval()
async def pay(amount: int, context: object = None) -> ActionResult:
    return ActionResult(extracted_content=f"paid {amount}")


async def main() -> None:
    for name, params in (("pay", {"amount": 40}), ("ask_human", {"question": "Which colour?", "options": ["red"]})):
        result = await tools.registry.execute_action(name, params)
        while (result.extracted_content or "").startswith("Nobody has decided yet"):
            print("waiting", name, flush=True)
            result = await tools.registry.execute_action(name, params)
        print(result.extracted_content or result.error, flush=True)


asyncio.run(main())
