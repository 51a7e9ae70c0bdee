"""Addresses of one's own profile."""

from django.urls import path

from accounts.profile import views

urlpatterns = [
    path("profile", views.profile_page, name="profile"),
    path("profile/name", views.change_name, name="profile-name"),
    path("profile/password", views.change_password, name="profile-password"),
]
