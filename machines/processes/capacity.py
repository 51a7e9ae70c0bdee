"""What this computer has for machines: what it never can give is refused when it is asked for, the sum when machines start."""

import os
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db.models import Q, Sum

from machines.models import Machine, MachineStatus
from machines.processes.nodes import this_node
from machines.schemas import MachineCreate
from web.errors import Invalid

GIGABYTE = 1 << 30


@lru_cache(maxsize=1)
def host() -> dict[str, int]:
    """Memory in GiB, as it is called (a little is the kernel's own), and processors."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"memory_gb": -(-memory // GIGABYTE), "cpu_cores": len(os.sched_getaffinity(0))}


def fitted(body: MachineCreate) -> dict[str, Any]:
    """The fields of a machine that this computer can be asked for: what was not given is at most what there is.

    Raises Invalid for what was given and goes beyond it.
    """
    fields = body.model_dump()
    if settings.MACHINE_CAPACITY == "off":
        return fields
    for name, most in host().items():
        if fields[name] <= most:
            continue
        if name in body.model_fields_set:
            raise Invalid((("body", name), f"This computer has {most} for all its machines.", "value_error"))
        fields[name] = most
    return fields


def lack(machine: Machine) -> str | None:
    """Why there is no room for a machine that is about to start, in words; those that started before it go first."""
    if settings.MACHINE_CAPACITY == "off":
        return None
    before = Q(status_at__lt=machine.status_at) | Q(status_at=machine.status_at, id__lt=machine.id)
    here = Q(node__isnull=True) | Q(node=this_node())
    at_work = Q(status=MachineStatus.RUNNING) | Q(status=MachineStatus.STARTING) & before
    others = Machine.objects.filter(here, at_work, test=False)
    sums = others.exclude(Q(id=machine.id) | Q(kind="simulated")).aggregate(
        memory_gb=Sum("memory_gb", default=0), cpu_cores=Sum("cpu_cores", default=0)
    )
    for name, word in (("memory_gb", "GB of memory"), ("cpu_cores", "cores")):
        most = round(host()[name] * settings.MACHINE_OVERCOMMIT)
        if sums[name] + getattr(machine, name) > most:
            return f"This computer has room for machines with {most} {word} together; {sums[name]} are taken."
    return None
