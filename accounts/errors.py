"""Refusals about who calls, people and what a team owns."""

from web.errors import NotFound, Refusal


class InvalidApiKey(Refusal):
    """Send a valid API key as X-API-Key or as Authorization: Bearer."""

    code, status = "INVALID_API_KEY", 401

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class InsufficientScope(Refusal):
    """This call needs the scope {required_scope}."""

    code, status = "INSUFFICIENT_SCOPE", 403


class ScopeEscalation(Refusal):
    """A key cannot create a key with a scope it lacks itself."""

    code, status = "SCOPE_ESCALATION", 403


class AgentForbidden(Refusal):
    """The credential of an agent or worker opens no API route."""

    code, status = "AGENT_FORBIDDEN", 403


class OwnersOnly(Refusal):
    """Only an owner may make somebody an owner, or take that away."""

    code, status = "OWNERS_ONLY", 403


class InstallationOwnersOnly(OwnersOnly):
    """Only the owners of this installation, who own its first team, keep its models."""

    reason_code = "installation_owners_only"


class CsrfFailed(Refusal):
    """The CSRF token is missing or wrong. Reload the page and try again."""

    code, status = "CSRF_FAILED", 403


class KeyNotFound(NotFound):
    """There is no such key."""

    code = "KEY_NOT_FOUND"


class WebhookNotFound(NotFound):
    """There is no such webhook."""

    code = "WEBHOOK_NOT_FOUND"


class MemberNotFound(NotFound):
    """There is no such person in this team."""


class GroupNotFound(NotFound):
    """There is no such group in this team."""


class SecretNotFound(NotFound):
    """There is no such secret in this team and world."""


class InvitationNotFound(NotFound):
    """There is no such invitation in this team."""


class LinkUnknown(NotFound):
    """This link opens no invitation. It may be cut off, or a newer link took its place: open the one of the latest mail."""


class LastOwner(Refusal):
    """{name} is the last owner. Make somebody else an owner first."""

    code, status = "LAST_OWNER", 409


class RolesChanged(Refusal):
    """Somebody changed the roles of {name} while this page was open. They are now: {roles}. Look again, then decide."""

    code, status = "ROLES_CHANGED", 409


class GroupInUse(Refusal):
    """The group is named by {users}. As long as that is so it keeps its name and cannot be deleted."""

    code, status = "GROUP_IN_USE", 409


class AccountExists(Refusal):
    """There is an account with this e-mail address by now. Sign in with it."""

    code, status = "ACCOUNT_EXISTS", 409


class InvitationOver(Refusal):
    """This invitation {how}. Ask for a new one if you still need it."""

    code, status = "INVITATION_OVER", 410


class IdempotencyInFlight(Refusal):
    """A call with the same Idempotency-Key is still being answered. Try again in a second."""

    code, status = "IDEMPOTENCY_IN_FLIGHT", 409

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": "1"}


class IdempotencyKeyReused(Refusal):
    """This Idempotency-Key belongs to a call with another body. Use a new key."""

    code, status = "IDEMPOTENCY_KEY_REUSED", 422


class IdempotencyKeyMismatch(Refusal):
    """The header and the body name different idempotency keys."""

    code, status = "IDEMPOTENCY_KEY_MISMATCH", 422
