"""Addresses of the people of a team."""

from django.urls import path

from accounts.members import views

urlpatterns = [
    path("members", views.member_list, name="members"),
    path("members/<str:user_id>/roles", views.roles_page, name="member-roles"),
    path("members/<str:user_id>/remove", views.remove, name="member-remove"),
]
