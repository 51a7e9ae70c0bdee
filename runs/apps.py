"""The app of runs: it registers at the ports of the apps below when a process starts."""

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from approvals.subjects import Subject


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        from approvals import subjects  # needs loaded models
        from runs import audit

        subjects.register("run", _run_subject)
        audit.register()


def _run_subject() -> "Subject":
    from runs.subject import RunSubject  # loads much of the app

    return RunSubject()
