"""Addresses of the pages, at the root."""

from django.urls import include, path

urlpatterns = [
    path("", include("accounts.sign_in.urls")),
    path("", include("accounts.profile.urls")),
    path("", include("accounts.keys.urls")),
    path("", include("accounts.invitations.urls")),
    path("", include("accounts.members.urls")),
    path("", include("accounts.groups.urls")),
    path("", include("accounts.secrets.urls")),
    path("", include("accounts.webhooks.urls")),
    path("", include("approvals.urls")),
    path("", include("approvals.mail.urls")),
    path("", include("workflows.runs.urls")),
    path("", include("runs.urls")),
    path("", include("accounts.audit.urls")),
    path("", include("workflows.urls")),
    path("", include("workflows.stops.urls")),
    path("", include("machines.urls")),
    path("", include("inference.profiles.urls")),
    path("", include("billing.urls")),
]
