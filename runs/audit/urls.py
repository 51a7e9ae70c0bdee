"""Addresses of the audit."""

from django.urls import path

from runs.audit import views

urlpatterns = [
    path("audit", views.audit, name="audit"),
    path("audit/export.csv", views.export, {"form": "csv"}, name="audit-csv"),
    path("audit/export.json", views.export, {"form": "json"}, name="audit-json"),
]
