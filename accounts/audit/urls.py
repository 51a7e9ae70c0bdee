"""Addresses of the audit."""

from django.urls import path

from accounts.audit import views

urlpatterns = [
    path("audit", views.audit_list, name="audit"),
    path("audit/export.csv", views.export, {"form": "csv"}, name="audit-csv"),
    path("audit/export.json", views.export, {"form": "json"}, name="audit-json"),
]
