"""An agent of LangChain whose tools are reviewed by HumanInTheLoopMiddleware; its model is scripted. Run by test_adapters.py."""

import sys
from typing import Any

from countersign.langgraph import run
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver


def pay(amount: int) -> str:
    """Pays some Euro."""
    return f"paid {amount}"


class ScriptedModel(GenericFakeChatModel):
    def bind_tools(self, tools: Any, **more: Any) -> "ScriptedModel":
        return self


calls = [{"name": "pay", "args": {"amount": int(amount)}, "id": f"c{amount}"} for amount in sys.argv[1:]]
model = ScriptedModel(messages=iter([AIMessage(content="", tool_calls=calls), AIMessage(content="done")]))
agent = create_agent(
    model, [pay], middleware=[HumanInTheLoopMiddleware(interrupt_on={"pay": True})], checkpointer=InMemorySaver()
)
outcome = run(agent, {"messages": [("user", "Pay the bills.")]}, {"configurable": {"thread_id": "bills"}})
for message in outcome["messages"]:
    if isinstance(message, ToolMessage):
        print(message.content.splitlines()[-1])
