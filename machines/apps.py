"""The app of machines: it registers at the ports of the apps below when a process starts."""

from django.apps import AppConfig


class MachinesConfig(AppConfig):
    name = "machines"

    def ready(self) -> None:
        from machines import audit

        audit.register()
