"""Queued work of workflow runs. A task takes ids, may run twice, and does nothing when its turn has passed."""

from workflows import running


def begin(run_id: str) -> None:
    running.begin(run_id)


def go_on(run_id: str, number: int) -> None:
    running.go_on(run_id, number)


def task_ended(run_id: str) -> None:
    running.task_ended(run_id)


def request_decided(approval_id: str) -> None:
    running.request_decided(approval_id)
