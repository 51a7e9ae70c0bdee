"""Addresses of accounts."""

from django.urls import path

from accounts import views

urlpatterns = [
    path("sign-in", views.SignIn.as_view(), name="sign-in"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("switch", views.switch, name="switch"),
    path("theme", views.theme, name="theme"),
    path("profile", views.profile, name="profile"),
    path("profile/name", views.change_name, name="profile-name"),
    path("profile/password", views.change_password, name="profile-password"),
    path("keys", views.keys, name="keys"),
    path("keys/new", views.new_key, name="key-new"),
    path("keys/<str:key_id>/revoke", views.revoke_key, name="key-revoke"),
]
