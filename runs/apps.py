"""The app of runs: it registers at the ports of the apps below when a process starts."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        from approvals import subjects
        from runs import audit
        from runs.subject import RunSubject

        subjects.register("run", RunSubject())
        audit.register()
