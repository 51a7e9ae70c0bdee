"""A body for each operation that takes one: it can be sent as it stands, and says in little what the call is for."""

from typing import Any

# A small page with one button, as a PNG of two colours.
_SCREENSHOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAoAAAAGQAQAAAAAWiOyIAAABZUlEQVR42u3cMW5UMRAG4N9Pq932lakSIy6woqSKKHIO7kEBN+Aq"
    "HGElkOgQJ0BPyQVeSLMs8JaGYrsN0lBE+qazZH0aezR2ZbdjamMIEAgEAoFAIBAIBAKBQCAQCAQCgUAgEAgEAoFAIBAIBAKBQCAQ"
    "CAQCgUAgEAgEAoFA4H8Af7eT6Genr87OaKfPLCdFAQKfMjglya8y8Mf1nCRLGbiftkmyLgMfdsV7uLrqd296Pv3sReCY+dsyZ1nm"
    "IvDQvn5pu7xsuyJwc53x0JND1ZI3r+e2nrKsp8ds+GMqtx2PQ8+Qqgwz/m2WqQicP8zbfc+yr8rw/v2L7+spn2+qMry4HJ4PPbtX"
    "vagom485rsa8rTwPp9JeTnL7rhh8Vp3hpVsP+KTA84fDsZ0Mrs42dfPZCxAIBAKBQCAQCAQCgUAgEAgEAoFAIBAIBAKBQCAQCAQC"
    "gUAgEAgEAoFAIBAIBAKBwH+PP6ZiPX8Ru3WJAAAAAElFTkSuQmCC"
)
_STEPS = [
    {"id": "look", "type": "task", "task": "run `date`"},
    {"id": "ok", "type": "human_approval", "message": "Is the date right?"},
]
_DEFINITION = {"steps": _STEPS}

BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/v1/agents/playbook/parse"): {"task": 'open example.com, click "More information" and check that "IANA" is visible'},
    ("POST", "/v1/approvals"): {
        "kind": "tool", "title": "Refund order 1042", "message": "The customer sent it back on Monday.",
        "action": {"name": "shop.refund", "params": {"order": 1042, "amount": 40}, "host": "shop.example.com", "risk": "spend"},
        "source": {"name": "refunds", "ref": "job 7"}, "timeout_seconds": 3600,
    },
    ("POST", "/v1/approvals/{approval_id}/cancel"): {"reason": "The order was cancelled."},
    ("PUT", "/v1/approvals/{approval_id}/result"): {"outcome": "executed", "text": "Refunded."},
    ("POST", "/v1/approvals/{approval_id}/assign"): {"assignee": None},
    ("POST", "/v1/approvals/{approval_id}/claim"): {},
    ("POST", "/v1/approvals/{approval_id}/comment"): {"text": "Which account is this for?"},
    ("POST", "/v1/approvals/{approval_id}/decide"): {"verdict": "reject", "note": "Not today."},
    ("POST", "/v1/approvals/{approval_id}/extend"): {"seconds": 3600},
    ("POST", "/v1/approvals/{approval_id}/release"): {},
    ("POST", "/v1/approvals/{approval_id}/undo"): {},
    ("POST", "/v1/ground"): {"screenshot": _SCREENSHOT, "element": 'the "Sign in" button', "screen_width": 640, "screen_height": 400},
    ("POST", "/v1/keys"): {"name": "a reading key", "scopes": ["runs:read"]},
    ("POST", "/v1/machines"): {"display_name": "Terminal 2", "kind": "terminal"},
    ("PATCH", "/v1/machines/{machine_id}"): {"ttl_minutes": 0},
    ("POST", "/v1/machines/{machine_id}/actions"): {"command": "screenshot"},
    ("POST", "/v1/machines/{machine_id}/actions/batch"): {"steps": [{"command": "screenshot"}]},
    ("POST", "/v1/machines/{machine_id}/start"): {},
    ("POST", "/v1/machines/{machine_id}/stop"): {},
    ("POST", "/v1/machines/{machine_id}/takeover"): {"note": "I look at it."},
    ("POST", "/v1/machines/{machine_id}/takeover/heartbeat"): {"lease_id": "tko_…"},
    ("POST", "/v1/machines/{machine_id}/takeover/release"): {"lease_id": "tko_…", "note": "Nothing was changed."},
    ("POST", "/v1/machines/{machine_id}/terminal"): {"command": "uname -a"},
    ("POST", "/v1/machines/{machine_id}/terminate"): {},
    ("POST", "/v1/parse"): {"code": "pyautogui.click(640, 360)\npyautogui.write('hello')\nDONE"},
    ("POST", "/v1/permissions"): {"tool": "click", "effect": "ask", "host": "shop.test"},
    ("POST", "/v1/permissions/preview"): {
        "tool": "mail.send",
        "when": [{"path": "to.0.email", "op": "matches", "value": "@shop\\.test$"}],
    },
    ("PATCH", "/v1/permissions/{policy_id}"): {"note": "Asked for by Finance."},
    ("POST", "/v1/predict"): {
        "screenshot": _SCREENSHOT, "instruction": "Sign in as ada", "screen_width": 640, "screen_height": 400, "max_actions": 3,
    },
    ("POST", "/v1/runs"): {"task": "run `uname -a`, then ask for approval to go on, then run `date`"},
    ("POST", "/v1/runs/{run_id}/answer"): {"answers": {"Which inbox?": "Sales"}},
    ("POST", "/v1/runs/{run_id}/approve"): {"request_id": "apr_…", "decision": "allow"},
    ("POST", "/v1/runs/{run_id}/cancel"): {"reason": "No longer needed."},
    ("PATCH", "/v1/runs/{run_id}/permission-mode"): {"permission_mode": "autonomous"},
    ("POST", "/v1/runs/{run_id}/resume"): {"note": "Go on."},
    ("POST", "/v1/runs/{run_id}/signal"): {"action": "approve"},
    ("POST", "/v1/secrets"): {"name": "shop password", "value": "…", "hosts": ["shop.example.com"]},
    ("PUT", "/v1/secrets/{name}"): {"hosts": ["shop.example.com", "*.login.example.com"]},
    ("POST", "/v1/sessions"): {"screen_width": 640, "screen_height": 400, "instructions": "Use the keyboard where you can."},
    ("POST", "/v1/sessions/{session_id}/predict"): {"screenshot": _SCREENSHOT, "instruction": "Sign in as ada"},
    ("POST", "/v1/sessions/{session_id}/reset"): {},
    ("POST", "/v1/stop"): {"scope": "team", "reason": "The agent mails everybody."},
    ("POST", "/v1/stop/{stop_id}/lift"): {},
    ("PATCH", "/v1/team"): {"claim_minutes": 10},
    ("POST", "/v1/webhooks"): {"url": "https://example.com/hooks", "events": ["run.succeeded", "run.failed"]},
    ("PATCH", "/v1/webhooks/{webhook_id}"): {"description": "Tells the chat."},
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): {},
    ("POST", "/v1/webhooks/{webhook_id}/test"): {},
    ("POST", "/v1/workflows"): {"name": "Look and ask", "steps": _STEPS},
    ("POST", "/v1/workflows/runs"): {"definition": _DEFINITION},
    ("POST", "/v1/workflows/runs/{run_id}/resume"): {"approved": True, "note": "Go on."},
    ("POST", "/v1/workflows/validate"): {"definition": _DEFINITION},
    ("PUT", "/v1/workflows/{workflow_id}"): {"description": "Looks at the date and asks a person."},
    ("POST", "/v1/workflows/{workflow_id}/runs"): {},
}  # fmt: skip


def example(method: str, path: str) -> dict[str, Any] | None:
    """The body for this operation; those of workflow runs are those of runs."""
    return BODIES.get((method, path), BODIES.get((method, path.replace("/v1/workflows/runs/", "/v1/runs/"))))
