"""How runs look on pages."""

from contextlib import suppress
from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.access import owns_installation
from inference.models import Call
from runs.models import Run, Step
from runs.pages.model_activity import Use
from web.templatetags.show import icon

register = template.Library()

# status -> (icon, class, words)
LOOKS = {
    "queued": ("circle-dashed", "", "Queued"),
    "running": ("loader-circle", "is-live", "Running"),
    "awaiting_human": ("hand", "is-warn", "Waits for a person"),
    "succeeded": ("circle-check", "is-good", "Succeeded"),
    "failed": ("circle-x", "is-bad", "Failed"),
    "cancelled": ("ban", "", "Cancelled"),
    "timed_out": ("timer-off", "is-bad", "Timed out"),
}
STEP_LOOKS = {
    "done": ("check", "is-good", "done"),
    "failed": ("x", "is-bad", "failed"),
    "skipped": ("ban", "", "skipped"),
    "acting": ("loader-circle", "is-live", "acting now"),
    "interrupted": ("triangle-alert", "is-warn", "interrupted, outcome unknown"),
    "dropped": ("ban", "", "dropped: the run had ended"),
}


@register.filter
def run_badge(status: str) -> SafeString:
    shape, look, words = LOOKS.get(status, ("circle-dashed", "", status))
    return format_html('<span class="badge {}">{}{}</span>', look, icon(shape), words)


@register.filter
def end_badge(run: Run) -> SafeString:
    """As `run_badge`; what ended without having passed is not shown as done."""
    if run.status != "succeeded" or not run.result or run.result.get("passed"):
        return run_badge(run.status)
    words = "Not all done" if run.result.get("skipped") else "Not confirmed"
    return format_html('<span class="badge is-warn">{}{}</span>', icon("triangle-alert"), words)


@register.filter
def step_icon(state: str) -> SafeString:
    shape, look, words = STEP_LOOKS.get(state, ("circle-dashed", "", state))
    return format_html('<span class="step-state {}">{}<span class="unseen">{}</span></span>', look, icon(shape), words)


@register.simple_tag
def step_result(step: Step, run: Run) -> str:
    """What came of a step, in words."""
    if step.status == "acting":
        return "under way when it was stopped" if run.stopped_at else "acting now"
    if step.status != "completed":
        return step.get_status_display()
    return "skipped" if step.skipped else "done" if step.success else "failed"


@register.filter
def tokens(count: int | None) -> str:
    """How many; `unknown` where the vendor does not say, which is not none."""
    return "unknown" if count is None else f"{count:,}"


@register.filter
def vendor_cost(use: Use) -> str:
    """What the vendor takes for calls: `$0.0123`, `unknown`, `at least $0.0123 (unknown for 2 calls)`."""
    if use.microcents is None:
        return "unknown" if use.calls else "$0.00"
    dollars = use.microcents / 1e8
    shown = "under $0.0001" if 0 < dollars < 0.0001 else f"${dollars:,.4f}" if 0 < dollars < 1 else f"${dollars:,.2f}"
    if not use.unknown:
        return shown
    return f"at least {shown} (unknown for {use.unknown} call{'' if use.unknown == 1 else 's'})"


# status of a call that got no answer -> what that means
CALL_PROBLEMS = {
    "busy": "The model was busy", "refused": "The model refused", "failed": "The model could not be asked",
    "abandoned": "A call was given up before its answer",
}  # fmt: skip


@register.filter
def call_problem(call: Call) -> str:
    return CALL_PROBLEMS.get(call.status, "A call got no answer")


@register.simple_tag(takes_context=True)
def models_page(context: dict[str, Any]) -> str:
    """The address of the page of model profiles, for those who may use it; "" for others."""
    actor = context.get("frame_actor")
    if actor is None or not owns_installation(actor):
        return ""
    with suppress(NoReverseMatch):
        return reverse("models")
    return ""
