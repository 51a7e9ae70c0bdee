"""The app of runs: it registers at the ports of the apps below when a process starts."""

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from approvals.subjects import Subject
    from machines.occupants import Occupant


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        from approvals import subjects  # needs loaded models
        from machines import occupants
        from runs import audit

        subjects.register("run", _run_subject)
        occupants.register("run", _run_occupant)
        audit.register()


def _run_subject() -> "Subject":
    from runs.subject import RunSubject  # loads much of the app

    return RunSubject()


def _run_occupant() -> "Occupant":
    from runs.occupant import RunOccupant  # as above

    return RunOccupant()
