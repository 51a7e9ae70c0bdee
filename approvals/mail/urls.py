"""Addresses of mail."""

from django.urls import path

from approvals.mail import views

urlpatterns = [path("notifications", views.notifications_page, name="notifications")]
