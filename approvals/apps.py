"""The app of approvals: it registers at the ports of the apps below when a process starts."""

from typing import TYPE_CHECKING

from django.apps import AppConfig

if TYPE_CHECKING:
    from approvals.subjects import Subject


class ApprovalsConfig(AppConfig):
    name = "approvals"

    def ready(self) -> None:
        from approvals import audit, subjects  # needs loaded models

        audit.register()
        subjects.register("external", _external_subject)


def _external_subject() -> "Subject":
    from approvals.external.subject import ExternalSubject  # loads much of the app

    return ExternalSubject()
