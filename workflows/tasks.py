"""Queued work of workflow runs. A task takes ids, may run twice, and does nothing when its turn has passed."""

from workflows.runs import running

TURN = 0.25  # seconds that one task may take: other runs wait behind it


def begin(run_id: str) -> None:
    running.begin(run_id, TURN)


def go_on(run_id: str) -> None:
    running.go_on(run_id, TURN)


def task_ended(run_id: str) -> None:
    running.task_ended(run_id, TURN)


def request_decided(approval_id: str) -> None:
    running.request_decided(approval_id, TURN)
