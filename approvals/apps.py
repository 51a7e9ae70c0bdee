"""The app of approvals: it registers at the ports of the apps below when a process starts."""

from django.apps import AppConfig


class ApprovalsConfig(AppConfig):
    name = "approvals"

    def ready(self) -> None:
        from approvals import audit

        audit.register()
