"""Addresses of invitations."""

from django.urls import path

from accounts.invitations import views

urlpatterns = [
    path("members/invite", views.invite, name="invite"),
    path("invitations/<str:invitation_id>/again", views.invite_again, name="invite-again"),
    path("invitations/<str:invitation_id>/revoke", views.revoke, name="invitation-revoke"),
    path("join/<str:token>", views.join, name="join"),
]
