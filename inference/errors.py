"""What goes wrong with a model, by what can be done about it. None of these is the agent's fault."""

from inference.records import CallRecord


class ModelProblem(Exception):
    """`why` is a sentence for people without secrets in it; `record` tells of the call, which may have been paid."""

    def __init__(self, why: str, record: CallRecord | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.record = record


class ModelBusy(ModelProblem):
    """The model may answer later: overloaded, rate limited, silent, not reached. `retry_after`: seconds from now."""

    def __init__(self, why: str, retry_after: float, record: CallRecord | None = None) -> None:
        super().__init__(why, record)
        self.retry_after = retry_after


class ModelRefused(ModelProblem):
    """The model, or its vendor's filter, will not do this. `category`: the vendor's word for it."""

    def __init__(self, why: str, category: str = "", record: CallRecord | None = None) -> None:
        super().__init__(why, record)
        self.category = category


class ModelMisconfigured(ModelProblem):
    """Asking again does not help before a person changed something: key refused, unknown model, request not accepted."""
