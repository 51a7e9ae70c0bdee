"""Addresses of secrets."""

urlpatterns: list[object] = []
