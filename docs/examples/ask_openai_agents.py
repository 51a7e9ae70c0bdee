"""An agent of the OpenAI Agents SDK that asks before it pays: python ask_openai_agents.py RUN AMOUNT …

A scripted model stands for the real one, so that the example runs without a key: it calls `pay` once for each amount in one turn
and then says what came of it.
"""

import asyncio
import json
import sys
from typing import Any

from agents import Agent, Model, ModelResponse, Usage, function_tool, set_tracing_disabled
from countersign.openai_agents import run
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText


@function_tool(needs_approval=True)
def pay(amount: int) -> str:
    """Pays some Euro."""
    return f"paid {amount}"


class ScriptedModel(Model):
    def __init__(self, amounts: list[int]) -> None:
        self.amounts = amounts

    async def get_response(self, system_instructions: Any, input: Any, *args: Any, **more: Any) -> ModelResponse:
        outputs = [
            item["output"] for item in input if isinstance(item, dict) and item.get("type") == "function_call_output"
        ]
        answer = self.says("\n".join(outputs)) if outputs else [self.calls(amount) for amount in self.amounts]
        return ModelResponse(output=answer, usage=Usage(), response_id=None)

    def calls(self, amount: int) -> ResponseFunctionToolCall:
        arguments = json.dumps({"amount": amount})
        return ResponseFunctionToolCall(type="function_call", name="pay", arguments=arguments, call_id=f"call-{amount}")

    def says(self, text: str) -> list[Any]:
        content = ResponseOutputText(type="output_text", text=text, annotations=[])
        return [ResponseOutputMessage(id="m1", type="message", role="assistant", status="completed", content=[content])]

    def stream_response(self, *args: Any, **more: Any) -> Any:
        raise NotImplementedError


async def main(name: str, amounts: list[int]) -> None:
    agent = Agent(name="Treasurer", model=ScriptedModel(amounts), tools=[pay])
    result = await run(agent, "Pay the bills.", run_id=name)
    print(result.final_output)


if __name__ == "__main__":
    set_tracing_disabled(True)
    asyncio.run(main(sys.argv[1], [int(amount) for amount in sys.argv[2:]]))
