"""Who stands behind an allow. Of those that are in force it is their maker, who may loosen if they would get policies:write now:
the admins and owners of the team. Null, as workers of the earlier release leave it, means the maker without that right."""

from typing import Any

from django.db import migrations, models


def fill(apps: Any, _schema_editor: Any) -> None:
    membership, key = apps.get_model("accounts", "Membership"), apps.get_model("accounts", "ApiKey")
    for policy in apps.get_model("approvals", "Policy").objects.filter(effect="allow", revoked_at__isnull=True):
        by = policy.created_by
        owner = key.objects.filter(id=by["id"]).values_list("owner_id", flat=True).first()
        person = owner or by["id"]
        roles = (
            membership.objects.filter(team_id=policy.team_id, user_id=person).values_list("roles", flat=True).first()
        )
        loosens = bool({"admin", "owner"} & set(roles or ()))
        policy.allowed_by = [
            {"person": person, "loosens": loosens, "until": None, "approval_id": policy.origin_approval_id}
        ]
        policy.save(update_fields=["allowed_by"])


class Migration(migrations.Migration):
    dependencies = [("approvals", "0009_policy_conditions"), ("accounts", "0011_rules_version")]

    operations = [
        migrations.AddField("policy", "allowed_by", models.JSONField(null=True)),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
