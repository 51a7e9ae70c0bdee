"""Addresses of groups."""

from django.urls import path

from accounts.groups import views

urlpatterns = [
    path("groups", views.group_list, name="groups"),
    path("groups/new", views.new_group, name="group-new"),
    path("groups/<str:group_id>", views.group_page, name="group"),
    path("groups/<str:group_id>/edit", views.edit_group, name="group-edit"),
    path("groups/<str:group_id>/add", views.add_member, name="group-add"),
    path("groups/<str:group_id>/take-out", views.remove_member, name="group-take-out"),
    path("groups/<str:group_id>/delete", views.delete_group, name="group-delete"),
]
