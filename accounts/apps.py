"""The app of accounts: it registers its part of the audit when a process starts."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        from accounts.audit import changes

        changes.register()
