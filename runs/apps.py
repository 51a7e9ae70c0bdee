"""The app of runs: it registers at the ports of the apps below when a process starts."""

from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        from runs import audit

        audit.register()
