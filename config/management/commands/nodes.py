"""`manage.py nodes`: where machines live, and what to do when a computer is gone for good (docs/operations.md)."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.db.models import Count, Max
from django.utils import timezone

from accounts.actor import system
from accounts.audit.services import audit
from machines.models import Machine
from machines.processes.nodes import release, this_node
from runs.models import Worker

SILENT = timedelta(seconds=60)


class Command(BaseCommand):
    help = "Lists the nodes that machines live on. `release NODE` lets others start the machines of one that is gone for good."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", choices=["list", "release"], default="list")
        parser.add_argument("node", nargs="?")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == "list":
            self._list()
        elif not options["node"]:
            raise CommandError("Which node? `manage.py nodes` lists them.")
        else:
            self.stdout.write(f"{_count(_released(options['node']))} nobody's now; who needs one starts it.")

    def _list(self) -> None:
        answered_at = last_seen()
        of_node = Machine.objects.exclude(status="terminated").filter(node__isnull=False).order_by().values_list("node")
        machines = dict(of_node.annotate(n=Count("id")))
        for node in sorted({this_node(), *answered_at, *machines}):
            at = answered_at.get(node)
            last = f"a worker answered at {at:%Y-%m-%d %H:%M:%S} UTC" if at else "no worker has answered"
            here = " (here)" if node == this_node() else ""
            self.stdout.write(f"{node}{here}: {machines.get(node, 0)} machines; {last}")


def last_seen() -> dict[str, Any]:
    """When a worker of each node last gave a sign of life."""
    workers = Worker.objects.filter(node__isnull=False).order_by().values_list("node")
    return dict(workers.annotate(at=Max("heartbeat_at")))


def _count(machines: int) -> str:
    return "1 machine is" if machines == 1 else f"{machines} machines are"


def _released(node: str) -> int:
    at = last_seen().get(node)
    if node == this_node() or (at and timezone.now() - at < SILENT):
        raise CommandError(f"{node} is at work: end its workers first. Its machines would be started twice.")
    with transaction.atomic():
        rows = Machine.objects.exclude(status="terminated").filter(node=node)
        if not rows.exists():
            raise CommandError(f"No machine lives on {node}. `manage.py nodes` lists them.")
        for team_id, test, machine_id in rows.values_list("team_id", "test", "id"):
            audit(system(team_id, test), "machine.node_released", machine_id, node=node)
        return release(node)
