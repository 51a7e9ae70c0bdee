"""Why a machine says no."""

from web.errors import Invalid, InvalidState, NotFound, Refusal


class MachineNotFound(NotFound):
    """There is no such machine."""

    code = "MACHINE_NOT_FOUND"


class NoMachine(Invalid):
    """No machine can be made on this computer yet."""

    reason_code = "no_machine"

    def __init__(self, message: str, field: str = "machine_id") -> None:
        """`message` says what is missing and the way on; `field` of the body is what it is about."""
        Refusal.__init__(self, message, details=[{"loc": ["body", field], "msg": message, "type": "missing"}])


class MachineBusy(Refusal):
    """The run {run_id} drives this machine. Wait for it, cancel it, or take control."""

    code, status = "MACHINE_BUSY", 409


class MachineInTakeover(Refusal):
    """{holder[name]} controls this machine."""

    code, status = "MACHINE_IN_TAKEOVER", 409


class MachineElsewhere(Refusal):
    """This machine lives on the node {node}, which this process cannot reach. Ask a server of that node."""

    code, status = "MACHINE_ELSEWHERE", 409


class Stopped(InvalidState):
    """Everything here is stopped. Nobody acts before an admin lifts the stop."""

    reason_code = "stopped"

    def __init__(self, stop_id: str, stopped_by: str, reason: str) -> None:
        words = f"Stopped by {stopped_by}: {reason.rstrip('.')}. Nobody acts here before an admin lifts the stop."
        super().__init__(words, current_state="stopped", allowed_from=["running"], stop_id=stop_id)


class MachineUnavailable(Refusal):
    """The machine does not answer and could not be started again."""

    code, status = "UPSTREAM_UNAVAILABLE", 503

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, retry_after=5)


class MachineFull(MachineUnavailable):
    """The machine was stopped because its home holds more than it may."""


class MachineStandsStill(MachineUnavailable):
    """The machine stands still: it was stopped with everything else."""


class MachineTimeout(Refusal):
    """The machine did not answer in time."""

    code, status = "UPSTREAM_TIMEOUT", 504

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message, retry_after=5)
