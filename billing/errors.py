"""Why money stops something."""

from typing import Any

from web.errors import Refusal


class WalletEmpty(Exception):
    """The wallet cannot cover the next step."""


class BudgetReached(Exception):
    """A budget has no room for the next step: `scope` is run, workflow, key or team."""

    def __init__(self, scope: str, limit: int, used: int) -> None:
        super().__init__(f"The {scope} budget of {limit} cents has no room: {used} cents are spent or held.")
        self.scope, self.limit, self.used = scope, limit, used

    @property
    def details(self) -> dict[str, Any]:
        return {"guard": "budget_cents", "scope": self.scope, "limit": self.limit, "used": self.used}


class HoldEnded(Exception):
    """The hold of a direct call has lapsed: the call took longer than any may."""


class InsufficientCredits(Refusal):
    """The wallet holds {balance} cents; {required} are needed. Top it up on the ledger page."""

    code, status = "INSUFFICIENT_CREDITS", 402


class BudgetExceeded(Refusal):
    """The {scope} budget of {limit_cents} cents has no room: {spent_cents} are spent or held."""

    code, status = "BUDGET_EXCEEDED", 402
