"""Addresses of the ledger."""

from django.urls import path

from billing import views

urlpatterns = [
    path("ledger", views.ledger_page, name="ledger"),
    path("ledger/top-up", views.top_up, name="top-up"),
]
