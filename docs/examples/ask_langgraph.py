"""A LangGraph graph that asks before it pays: python ask_langgraph.py orders.sqlite AMOUNT …"""

import sys
from typing import TypedDict

from countersign.langgraph import approval, run
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph


class Order(TypedDict, total=False):
    amount: int
    outcome: str


def pay(order: Order) -> Order:
    """Runs again from its top once people have answered: so nothing is done before that."""
    answer = approval("pay", {"amount": order["amount"]}, title=f"Pay {order['amount']} €", risk="spend")
    if not answer["approved"]:
        return {"outcome": f"not paid: {answer['note']}"}
    return {"outcome": f"paid {answer['params']['amount']}"}


builder = StateGraph(Order)
builder.add_node("pay", pay)
builder.add_edge(START, "pay")
builder.add_edge("pay", END)

if __name__ == "__main__":
    with SqliteSaver.from_conn_string(sys.argv[1]) as checkpoints:
        graph = builder.compile(checkpointer=checkpoints)
        for amount in sys.argv[2:]:
            config = {"configurable": {"thread_id": f"order-{amount}"}}
            waits = graph.get_state(
                config
            ).next  # this program was started before, and ended while people thought about it
            print(run(graph, None if waits else {"amount": int(amount)}, config)["outcome"])
