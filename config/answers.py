"""What the routes answer, as JSON Schema for the OpenAPI document. Tests hold real answers against it.

Answers only ever gain keys: clients ignore those they do not know, so no schema closes its object.
"""

from typing import Any

Json = dict[str, Any]


def _typed(word: str) -> Json:
    kind = word.removesuffix("?")
    if kind[0].isupper():
        ref = {"$ref": f"#/components/schemas/{kind}"}
        return {"anyOf": [ref, {"type": "null"}]} if word.endswith("?") else ref
    extra: Json = {"format": "date-time"} if kind == "time" else {}
    name = "string" if kind == "time" else kind
    return {"type": [name, "null"] if word.endswith("?") else name} | extra


def _shape(**names: str) -> Json:
    """An object from {type: "names of that type"}; `maybe_` before the type allows null. Every key is always there."""
    words = {t.removeprefix("maybe_") + ("?" if t.startswith("maybe_") else ""): n for t, n in names.items()}
    properties = {name: _typed(word) for word, listed in words.items() for name in listed.split()}
    return {"type": "object", "properties": properties, "required": sorted(properties)}


DETAIL = _shape(array="loc", string="msg type")
ERROR = _shape(string="code reason_code message type request_id")
ERROR["properties"]["details"] = {"type": "array", "items": DETAIL}

SCHEMAS: dict[str, Json] = {
    "Error": {"type": "object", "properties": {"error": ERROR}, "required": ["error"]},
    "List": _shape(string="object request_id", array="data", boolean="has_more", maybe_string="next_cursor"),
    "Events": _shape(string="object request_id", array="data", boolean="has_more", integer="next_after"),
    "Health": _shape(string="status"),
    "Run": _shape(
        string="id run_id object status state root_id cua_version agent deadline_clock on_awaiting_human on_timeout"
        " permission_mode on_budget request_id",
        maybe_string="parent_id machine_id task instructions awaiting_human_reason end_user webhook_url webhook_secret",
        integer="max_steps steps_completed active_seconds priority credits_charged cost_cents budget_cents",
        maybe_integer="deadline_seconds awaiting_human_timeout_seconds",
        maybe_object="input waiting_on result error metadata",
        object="created_by", array="open_approvals", boolean="test", maybe_boolean="human_in_the_loop",
        time="created_at",
        maybe_time="deadline_at awaiting_human_since parked_at resume_at started_at finished_at cancel_requested_at"
        " stop_confirmed_at",
    ),
    "Screenshot": _shape(integer="index step width height", string="phase sha256", time="taken_at"),
    "Approval": _shape(
        string="id request_id object run_id root_run_id kind status reason_code input_kind title on_reject",
        maybe_string="message agent_message workflow_id step_id action_hash on_timeout previous_approval_id"
        " replaced_by void_reason",
        integer="priority version", maybe_integer="step_index seq",
        maybe_object="action edited_action plan input_schema budget claimed_by",
        maybe_array="questions", object="evidence", array="allowed_verdicts quorum eligible votes comments",
        boolean="can_remember remember_default four_eyes test", maybe_Decision="decision",
        time="created_at", maybe_time="expires_at claim_expires_at resolved_at effective_at undo_until",
    ),
    "Decision": _shape(
        string="id verdict via", maybe_string="effect note policy_id", object="actor receipt",
        maybe_object="answers values action_before action_after", time="at",
    ),
    "Policy": _shape(
        string="id object tool tool_name effect origin", maybe_string="host end_user run_id note origin_approval_id",
        boolean="include_end_users", maybe_boolean="four_eyes", integer="uses", object="created_by",
        maybe_array="quorum", time="created_at", maybe_time="expires_at revoked_at last_used_at",
    ),
    "DecisionResult": _shape(
        string="object", Approval="approval", Decision="decision", object="run", boolean="resumed",
        maybe_string="policy_id"
    ),
    "Machine": _shape(
        string="id object display_name kind os isolation status", maybe_string="problem node current_run_id",
        boolean="is_default is_test", integer="cpu_cores memory_gb screen_width screen_height cents_per_hour",
        maybe_integer="ttl_minutes", maybe_object="takeover", object="metadata", time="created_at",
        maybe_time="auto_destroy_at started_at terminated_at",
    ),
    "Stop": _shape(
        string="id object scope reason request_id", maybe_string="target_id", integer="runs", object="requested_by",
        maybe_object="lifted_by", boolean="test", time="requested_at", maybe_time="confirmed_at lifted_at",
    ),
    "Takeover": _shape(
        string="id object machine_id", maybe_string="run_id approval_id", object="holder", boolean="private",
        time="taken_at expires_at idle_expires_at",
    ),
    "TakeoverEnd": _shape(boolean="released", maybe_string="run_id status", string="request_id"),
    "MachineAnswer": _shape(string="id status request_id", Machine="machine"),
    "MachineChange": _shape(string="machine_id status message request_id"),
    "ActionResult": _shape(string="machine_id command request_id", object="params", boolean="success",
    integer="duration_ms"),
    "TerminalResult": _shape(string="machine_id output request_id", boolean="success truncated", object="result"),
    "Picture": _shape(string="machine_id image_b64 mime_type request_id", integer="width height", time="captured_at"),
    "Plan": _shape(array="steps unknown"),
    "Team": _shape(
        string="id object name default_agent forbid_self_approval", maybe_string="default_machine_id",
        integer="undo_window_seconds claim_minutes hot_window_seconds plan_max_revisions max_active_runs"
        " budget_cents_month"
        " event_retention_days",
        maybe_integer="remember_days", boolean="screen_check usage_for_all", number="screen_check_threshold",
        array="risk_floor risk_floor_modes",
    ),
    "Key": _shape(
        string="key_id key_prefix name kind", array="scopes", integer="budget_cents_month", object="created_by",
        time="created_at", maybe_time="last_used_at expires_at revoked_at",
    ),
    "Webhook": _shape(
        string="id object url secret", maybe_string="description disabled_reason", array="events", boolean="active",
        time="created_at",
    ),
    "Secret": _shape(
        string="id object name kind", maybe_string="last_used_run_id", array="hosts machines", object="created_by",
        time="created_at", maybe_time="replaced_at last_used_at",
    ),
    "Delivery": _shape(
        string="id object event_id event url status", maybe_string="webhook_id run_id reason redelivery_of",
        integer="attempts",
        maybe_integer="response_status", time="created_at", maybe_time="next_attempt_at finished_at",
    ),
    "ModelCall": _shape(
        string="id object run_id profile wire model purpose status", maybe_string="why request_id",
        maybe_integer="step_index input_tokens cached_tokens cache_written_tokens output_tokens reasoning_tokens cost_microcents",
        time="started_at ended_at", maybe_time="first_byte_at",
    ),
    "Workflow": _shape(
        string="id object name slug dsl_version status request_id", maybe_string="declared_version description",
        integer="version budget_cents_month", object="definition", maybe_object="inputs_schema metadata",
        time="created_at updated_at",
    ),
    "WorkflowArchived": {"allOf": [{"$ref": "#/components/schemas/Workflow"}, _shape(boolean="deleted")]},
    "WorkflowVersion": _shape(
        string="object workflow_id name dsl_version request_id", maybe_string="declared_version description",
        integer="version", object="definition created_by", maybe_object="inputs_schema metadata", time="created_at",
    ),
    "WorkflowExamination": _shape(boolean="valid", array="errors warnings", maybe_Estimate="estimate"),
    "Estimate": _shape(
        integer="step_count depth max_agent_steps max_cost_cents", maybe_integer="max_wait_seconds", array="unbounded",
    ),
    "NewKey": _shape(string="key key_id key_prefix name kind request_id", array="scopes", time="created_at"),
    "KeyRevoked": _shape(string="status key_id"),
    "IdempotencyRecord": _shape(
        string="key method path status request_id", maybe_integer="original_status", maybe_object="result",
        time="expires_at"
    ),
    "Balance": _shape(
        string="object currency request_id", integer="balance_cents held_cents available_cents", boolean="ledger_ok",
        array="budgets",
    ),
    "Transaction": _shape(
        string="id object type description", maybe_string="run_id key_id machine_id endpoint", maybe_integer="step_index",
        integer="amount_cents available_after_cents", array="entries", object="created_by", time="created_at",
    ),
    "Active": _shape(array="active", integer="current_run_rate_cents_per_hour"),
    "CallUsage": _shape(integer="input_tokens output_tokens credits_charged cost_cents", object="breakdown", boolean="billed"),
    "Prediction": _shape(string="request_id status", maybe_string="reasoning", array="actions", CallUsage="usage"),
    "NewSession": _shape(string="session_id screen_size request_id", time="created_at expires_at", CallUsage="usage"),
    "Session": _shape(string="session_id", integer="step_count total_credits_used", time="created_at expires_at"),
    "SessionEnd": _shape(string="status session_id"),
    "Grounding": _shape(string="request_id", integer="x y screen_width screen_height", CallUsage="usage"),
    "ParsedActions": _shape(string="request_id", array="actions"),
    "Models": _shape(string="request_id", array="models cua_versions action_types agents"),
    "Usage": _shape(
        string="period wallet_balance_usd",
        integer="total_requests total_credits total_cost_cents balance wallet_balance_cents", object="breakdown",
    ),
}  # fmt: skip

_OF_WORKFLOW = _shape(
    maybe_string="workflow_id awaiting_step_id", maybe_integer="workflow_version max_iterations", object="inputs",
    integer="iterations_used spent_cents",
)  # fmt: skip
SCHEMAS["WorkflowRun"] = {"allOf": [{"$ref": "#/components/schemas/Run"}, _OF_WORKFLOW]}  # and any `output`

_OF_SESSION = _shape(string="session_id", integer="step")
SCHEMAS["SessionPrediction"] = {"allOf": [{"$ref": "#/components/schemas/Prediction"}, _OF_SESSION]}

# GET routes that answer the list envelope, with what they list.
LISTS = {
    "/v1/runs": "Run",
    "/v1/runs/{run_id}/screenshots": "Screenshot",
    "/v1/workflows/runs": "WorkflowRun",
    "/v1/workflows/runs/{run_id}/screenshots": "Screenshot",
    "/v1/approvals": "Approval",
    "/v1/machines": "Machine",
    "/v1/keys": "Key",
    "/v1/permissions": "Policy",
    "/v1/webhooks": "Webhook",
    "/v1/secrets": "Secret",
    "/v1/stop": "Stop",
    "/v1/webhooks/{webhook_id}/deliveries": "Delivery",
    "/v1/runs/{run_id}/deliveries": "Delivery",
    "/v1/runs/{run_id}/calls": "ModelCall",
    "/v1/workflows/runs/{run_id}/deliveries": "Delivery",
    "/v1/billing/ledger": "Transaction",
    "/v1/sessions": "Session",
    "/v1/workflows": "Workflow",
    "/v1/workflows/{workflow_id}/versions": "WorkflowVersion",
}
FILTERS: dict[str, tuple[str, ...]] = {
    "/v1/runs": ("status", "kind", "parent_id", "workflow_id", "machine_id", "end_user"),
    "/v1/workflows/runs": ("status", "workflow_id", "machine_id", "end_user"),
    "/v1/runs/{run_id}/screenshots": ("after_index",),
    "/v1/workflows/runs/{run_id}/screenshots": ("after_index",),
    "/v1/runs/{run_id}/events": ("after", "format"),
    "/v1/runs/{run_id}/events/stream": ("after", "format"),
    "/v1/approvals": ("status", "kind", "run_id", "assignee", "sort"),
    "/v1/machines": ("status", "kind"),
    "/v1/billing/ledger": ("type", "run_id", "from", "to"),
    "/v1/usage": ("period",),
    "/v1/workflows": ("status",),
}
# Every other answer: the name of its schema, or a media type.
ANSWERS: dict[tuple[str, str], str] = {
    ("GET", "/v1/health"): "Health",
    ("POST", "/v1/runs"): "Run",
    ("GET", "/v1/runs/{run_id}"): "Run",
    ("POST", "/v1/runs/{run_id}/cancel"): "Run",
    ("POST", "/v1/stop"): "Stop",
    ("GET", "/v1/stop/{stop_id}"): "Stop",
    ("POST", "/v1/stop/{stop_id}/lift"): "Stop",
    ("POST", "/v1/runs/{run_id}/resume"): "Run",
    ("POST", "/v1/workflows/runs"): "WorkflowRun",
    ("POST", "/v1/workflows/{workflow_id}/runs"): "WorkflowRun",
    ("GET", "/v1/workflows/runs/{run_id}"): "Run",
    ("POST", "/v1/workflows/runs/{run_id}/cancel"): "Run",
    ("POST", "/v1/workflows/runs/{run_id}/resume"): "Run",
    ("GET", "/v1/runs/{run_id}/screenshots/{index}"): "image/png",
    ("GET", "/v1/workflows/runs/{run_id}/screenshots/{index}"): "image/png",
    ("GET", "/v1/runs/{run_id}/events"): "text/event-stream",
    ("GET", "/v1/runs/{run_id}/events/stream"): "text/event-stream",
    ("GET", "/v1/workflows/runs/{run_id}/events"): "text/event-stream",
    ("GET", "/v1/workflows/runs/{run_id}/events/stream"): "text/event-stream",
    ("GET", "/v1/approvals/{approval_id}"): "Approval",
    ("POST", "/v1/approvals/{approval_id}/decide"): "DecisionResult",
    ("POST", "/v1/approvals/{approval_id}/claim"): "Approval",
    ("POST", "/v1/approvals/{approval_id}/release"): "Approval",
    ("POST", "/v1/approvals/{approval_id}/assign"): "Approval",
    ("POST", "/v1/approvals/{approval_id}/extend"): "Approval",
    ("POST", "/v1/permissions"): "Policy",
    ("GET", "/v1/permissions/{policy_id}"): "Policy",
    ("PATCH", "/v1/permissions/{policy_id}"): "Policy",
    ("POST", "/v1/agents/playbook/parse"): "Plan",
    ("POST", "/v1/machines"): "MachineAnswer",
    ("GET", "/v1/machines/{machine_id}"): "MachineAnswer",
    ("POST", "/v1/machines/{machine_id}/start"): "MachineChange",
    ("POST", "/v1/machines/{machine_id}/stop"): "MachineChange",
    ("POST", "/v1/machines/{machine_id}/terminate"): "MachineChange",
    ("DELETE", "/v1/machines/{machine_id}"): "MachineChange",
    ("GET", "/v1/machines/{machine_id}/screenshot"): "Picture",
    ("POST", "/v1/machines/{machine_id}/actions"): "ActionResult",
    ("POST", "/v1/machines/{machine_id}/terminal"): "TerminalResult",
    ("GET", "/v1/machines/{machine_id}/takeover"): "Takeover",
    ("POST", "/v1/machines/{machine_id}/takeover"): "Takeover",
    ("POST", "/v1/machines/{machine_id}/takeover/heartbeat"): "Takeover",
    ("POST", "/v1/machines/{machine_id}/takeover/release"): "TakeoverEnd",
    ("GET", "/v1/team"): "Team",
    ("PATCH", "/v1/team"): "Team",
    ("POST", "/v1/keys"): "NewKey",
    ("DELETE", "/v1/keys/{key_id}"): "KeyRevoked",
    ("POST", "/v1/secrets"): "Secret",
    ("PUT", "/v1/secrets/{name}"): "Secret",
    ("POST", "/v1/webhooks"): "Webhook",
    ("GET", "/v1/webhooks/{webhook_id}"): "Webhook",
    ("PATCH", "/v1/webhooks/{webhook_id}"): "Webhook",
    ("POST", "/v1/webhooks/{webhook_id}/test"): "Delivery",
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): "Delivery",
    ("GET", "/v1/idempotency/{key}"): "IdempotencyRecord",
    ("GET", "/v1/billing/balance"): "Balance",
    ("GET", "/v1/billing/active"): "Active",
    ("GET", "/v1/usage"): "Usage",
    ("POST", "/v1/predict"): "Prediction",
    ("POST", "/v1/ground"): "Grounding",
    ("POST", "/v1/parse"): "ParsedActions",
    ("GET", "/v1/models"): "Models",
    ("POST", "/v1/sessions"): "NewSession",
    ("GET", "/v1/sessions/{session_id}"): "Session",
    ("DELETE", "/v1/sessions/{session_id}"): "SessionEnd",
    ("POST", "/v1/sessions/{session_id}/predict"): "SessionPrediction",
    ("POST", "/v1/sessions/{session_id}/reset"): "SessionEnd",
    ("POST", "/v1/workflows"): "Workflow",
    ("GET", "/v1/workflows/{workflow_id}"): "Workflow",
    ("PUT", "/v1/workflows/{workflow_id}"): "Workflow",
    ("DELETE", "/v1/workflows/{workflow_id}"): "WorkflowArchived",
    ("GET", "/v1/workflows/{workflow_id}/versions/{number}"): "WorkflowVersion",
    ("POST", "/v1/workflows/validate"): "WorkflowExamination",
}
# What a success answers instead of 200.
STATUSES: dict[tuple[str, str], str] = {
    ("POST", "/v1/permissions"): "201",
    ("DELETE", "/v1/permissions/{policy_id}"): "204",
    ("POST", "/v1/secrets"): "201",
    ("DELETE", "/v1/secrets/{name}"): "204",
    ("POST", "/v1/webhooks"): "201",
    ("DELETE", "/v1/webhooks/{webhook_id}"): "204",
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"): "201",
}
