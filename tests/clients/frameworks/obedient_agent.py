"""The example of the Agents SDK with a model that calls again as a person has edited its call. Run by test_adapters.py."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "docs" / "examples"))

from agents import Agent, ModelResponse, Usage
from ask_openai_agents import ScriptedModel, pay
from countersign.openai_agents import run


class ObedientModel(ScriptedModel):
    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **more: Any) -> ModelResponse:
        output = input[-1].get("output", "") if isinstance(input, list) else ""
        if "exactly these: " in output:
            amount = json.loads(output.rpartition("exactly these: ")[2])["amount"]
            return ModelResponse(output=[self.calls(amount)], usage=Usage(), response_id=None)
        return await super().get_response(system_instructions, input, *args, **more)


agent = Agent(name="Treasurer", model=ObedientModel([900]), tools=[pay])
print(asyncio.run(run(agent, "Pay the bills.", run_id="bills")).final_output.splitlines()[-1])
