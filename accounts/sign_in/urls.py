"""Addresses of signing in and out, and of what one looks at."""

from django.urls import path

from accounts.sign_in import views

urlpatterns = [
    path("sign-in", views.SignIn.as_view(), name="sign-in"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("switch", views.switch, name="switch"),
    path("theme", views.theme, name="theme"),
]
