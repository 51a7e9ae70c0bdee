"""The app of billing: it registers at the ports of the apps below when a process starts."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    name = "billing"

    def ready(self) -> None:
        from billing import audit

        audit.register()
