"""What the audit calls things."""

from accounts.audit.query import LOST

KIND_NAMES = {
    "decision": "Decisions", "request": "Work on requests", "policy": "Policies", "key": "API keys", "team": "Settings",
    "member": "Members and groups", "machine": "Machines", "wallet": "Wallet", "webhook": "Webhooks", "secret": "Secrets",
    "workflow": "Workflows", "model": "Models", "stop": "Stops",
}  # fmt: skip
KIND_ICONS = {
    "decision": "check", "request": "hand", "policy": "shield-check", "key": "key-round", "team": "pen-line", "member": "user",
    "machine": "monitor", "wallet": "wallet", "webhook": "webhook", "secret": "key-round",
    "workflow": "list-checks", "model": "bot", "stop": "ban",
}  # fmt: skip
VERDICT_NAMES = {
    "approve": "Approve", "reject": "Reject", "answer": "Answer", "submit": "Submit", "revise": "Send back",
    "expired": "Ran out of time", "cancelled": "Cancelled with its run", LOST: "Attempts that changed nothing",
}  # fmt: skip
VIA = {
    "api": "by API", "dashboard": "on a page", "link": "by a link", "policy": "by a policy", "session": "signed in",
    "mode_change": "by a change of the permission mode", "timeout": "as the time ran out", "cancel": "with the run",
    "on_awaiting_human": "the run waits for nobody", "lease_expired": "as control ran out", "system": "by itself",
}  # fmt: skip
CHANGED = {
    "key.created": "Made the API key", "key.revoked": "Revoked the API key", "team.updated": "Changed the settings",
    "policy.created": "Made the policy", "policy.updated": "Changed the policy", "policy.revoked": "Revoked the policy",
    "webhook.created": "Made the webhook", "webhook.updated": "Changed the webhook", "webhook.deleted": "Deleted the webhook",
    "webhook.disabled": "Switched off the webhook",
    "secret.created": "Made the secret", "secret.changed": "Changed the secret", "secret.deleted": "Deleted the secret",
    "secret.used": "Put in the secret", "secret.withheld": "Did not put in the secret",
    "workflow.created": "Made the workflow", "workflow.updated": "Changed the workflow", "workflow.archived": "Archived the workflow",
    "wallet.topup": "Added money", "wallet.grant": "Granted money", "wallet.adjustment": "Adjusted the wallet",
    "machine.created": "Made the machine", "machine.ttl": "Changed how long the machine lives",
    "machine.action": "Acted by hand on the machine", "machine.terminal": "Ran a command on the machine",
    "machine.takeover_taken": "Took control of the machine", "machine.takeover_released": "Gave back the machine",
    "machine.takeover_lapsed": "Lost control of the machine, being away", "machine.starting": "Started the machine",
    "machine.running": "The machine runs", "machine.stopping": "Stops the machine", "machine.stopped": "The machine stands still",
    "machine.suspended": "The machine sleeps", "machine.terminating": "Ends the machine", "machine.terminated": "The machine ended",
    "machine.error": "The machine does not work",
    "member.roles_changed": "Changed the roles of", "member.removed": "Removed the member",
    "member.added": "Added the member", "member.password_set": "Set the password of",
    "profile.name_changed": "Changed their own name", "profile.password_changed": "Changed their own password",
    "invitation.created": "Invited", "invitation.renewed": "Invited again", "invitation.revoked": "Took back the invitation of",
    "invitation.accepted": "Accepted the invitation", "group.created": "Made the group", "group.changed": "Changed the group",
    "group.deleted": "Deleted the group",
    "model.created": "Added the model", "model.updated": "Changed the model", "model.deleted": "Deleted the model",
    "model.disabled": "Disabled the model", "model.enabled": "Enabled the model", "model.tested": "Tested the model",
    "model.default_set": "Made the model the default", "model.default_cleared": "Took the default away from the model",
    "stop.requested": "Stopped everything", "stop.confirmed": "Nothing acts any more", "stop.lifted": "Lifted the stop",
    "group.member_added": "Added somebody to the group", "group.member_removed": "Took somebody out of the group",
}  # fmt: skip

THINGS = {
    "apr": "request", "key": "key", "mch": "machine", "pol": "policy", "whk": "webhook", "usr": "person", "grp": "group",
    "inv": "invitation", "wf": "workflow", "mdl": "model", "sec": "secret", "stp": "stop",
}  # fmt: skip


def changed(verb: str) -> str:
    """The words for a verb; one that has none yet reads as it is written: `wallet.refund` is "Wallet refund"."""
    return CHANGED.get(verb) or verb.replace(".", " ").replace("_", " ").capitalize()
