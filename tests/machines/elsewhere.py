"""A process of the product that is on another node: python tests/machines/elsewhere.py FOLDER_OF_MACHINES MACHINE_ID"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
sys.path.insert(0, str(Path(__file__).parents[2]))


def main(folder: str, machine_id: str) -> dict[str, Any]:
    import django

    django.setup()
    from django.conf import settings

    settings.MACHINES_DIR = Path(folder)
    from machines.models import Machine
    from machines.processes import lifecycle, sessions
    from runs.driving import leases

    said: dict[str, Any] = {"dead": lifecycle.revive_dead(), "claimed": len(leases.claim("elsewhere", 10))}
    for name, work in {
        "up": lambda: lifecycle.bring_up(machine_id),
        "session": lambda: sessions.session_of_thread(Machine.objects.get(id=machine_id)).__enter__(),
    }.items():
        try:
            work()
            said[name] = "done"
        except Exception as error:  # noqa: BLE001  what it is, the test looks at
            said[name] = f"{getattr(error, 'code', type(error).__name__)} {getattr(error, 'facts', '')}"
    lifecycle.stop_all_processes()
    return said | {"restarts": Machine.objects.get(id=machine_id).restarts}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))  # noqa: T201
