"""The guard: may this action run, must a person be asked, or is it denied? The order stands in approvals/policies/rules.py."""

from dataclasses import replace

from accounts.keys.owners import person_behind
from accounts.team.rules_version import rules_now
from approvals.policies.rules import Proposal, Ruling, judge
from machines.actions.canonical import READ_ONLY
from runs.agents.action_summary import class_of_act, risk_of, too_large
from runs.agents.base import Act
from runs.driving.steps import Judged
from runs.models import Run


def rule(run: Run, act: Act) -> Ruling:
    """Judge one proposed action of a run; reads its mode and the team's policies as they are now."""
    if run.human_in_the_loop:  # only then can the mode change under way
        run.permission_mode, run.plan = Run.objects.values_list("permission_mode", "plan").get(id=run.id)
    read_only = act.action.name in READ_ONLY
    rules = rules_now(run.team_id, run.test, run.permission_mode)
    ruling = judge(
        Proposal(
            team_id=run.team_id,
            test=run.test,
            run_id=run.id,
            end_user=run.end_user,
            mode=run.permission_mode,
            plan_approved=plan_approved(run),
            tool=act.action.name,
            host=act.host,
            risk=risk_of(act),
            action_class=class_of_act(run.machine_kind, act),
            read_only=read_only,
            risk_floor=frozenset() if read_only else rules.floor,
            starter=person_behind(run.created_by, run.owner_id),
            params=act.action.params,
        )
    )
    ruling = replace(ruling, version=rules.version)
    if act.checks and ruling.verdict != "deny":
        ruling = _checked(run, ruling)
    if ruling.verdict == "ask" and too_large(act):  # nobody could be shown it whole, so nobody is asked
        return replace(ruling, verdict="deny", why="action_too_large")
    return ruling


def _checked(run: Run, ruling: Ruling) -> Ruling:
    """The vendor of the model wants a person to agree: no mode, no rule and no allowance speaks for one."""
    if run.human_in_the_loop is False:
        why = "The vendor of the model wants a person to agree to this action, and this run has none."
        return replace(ruling, verdict="deny", why=why, policy_id=None)
    why = f"The vendor of the model wants a person to agree to this action. {ruling.why}".strip()
    return replace(ruling, verdict="ask", why=why, policy_id=None, can_remember=False, by_rule=True)


def judged(run: Run, ruling: Ruling) -> Judged:
    """By what rule() came to it: whoever writes it holds that against what is true then."""
    return Judged(ruling.version or 0, run.permission_mode, plan_approved(run))


def plan_approved(run: Run) -> bool:
    return bool(run.plan and run.plan.get("approved"))


def needs_plan(run: Run, act: Act) -> bool:
    """Until its plan is approved a run in mode plan does nothing that is not read-only."""
    return run.permission_mode == "plan" and not plan_approved(run) and act.action.name not in READ_ONLY
