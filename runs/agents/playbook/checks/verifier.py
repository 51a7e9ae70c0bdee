"""The verifier of engine v4: every check of the task, and what its instructions left behind, on a fresh observation."""

from machines.drivers.base import Session
from runs.agents.base import Context, Finish, Verdict
from runs.agents.playbook.agent_memory import Progress
from runs.agents.playbook.checks import leaving, machine_conditions
from runs.agents.playbook.scene import Patience

NOTHING_LEFT = "The task leaves nothing that could be seen at the end, so nothing could be verified: add check that ..."


async def verify(context: Context, session: Session, claim: Finish, patience: Patience) -> Verdict:
    if claim.by_person:
        return Verdict(True, None, claim.summary)
    if not claim.passed:
        return Verdict(False, "fail", claim.summary)
    progress = Progress.of(context.memory)
    broken = [machine_conditions.describe(c) for c in progress.checks if not await machine_conditions.holds(c, session)]
    verified = [machine_conditions.describe(c) for c in progress.checks]
    for check in progress.left:
        holds = await leaving.still(check, session, patience, context.secrets)
        if holds is False:
            broken.append(leaving.describe(check))
        elif holds:
            verified.append(leaving.describe(check))
    if broken:
        return Verdict(False, "fail", f"No longer true: {'; '.join(dict.fromkeys(broken))}.")
    if not verified:
        return Verdict(False, "unknown", NOTHING_LEFT)
    return Verdict(True, "pass", f"Verified again: {'; '.join(dict.fromkeys(verified))}.")
