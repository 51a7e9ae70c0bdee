"""`python -m benchmarks [P1 P7 …]`: measures, prints the table, writes results.json here (docs/performance.md)."""

import argparse
import importlib
import json
import os
import platform
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.installation import Installation, installation
from benchmarks.table import Row, table

RESULTS = Path(__file__).with_name("results.json")
# In this order: a figure may be held against an earlier one. Each module has measure(bench) -> list[Row].
FIGURES = {
    "P1": "p01_decide",
    "P5": "p05_waiting",
    "P3": "p03_steps",
    "P4": "p04_crowd",
    "P4M": "p04_models",
    "P6": "p06_live",
    "P7": "p07_web",
    "P9": "p09_workflows",
    "P10": "p10_browser",
    "P12": "p12_memory",
    "P13": "p13_queue",
    "P14": "p14_models",
    "P15": "p15_waits",
    "P18": "p18_statistics",
    "P17": "p17_replay",
    "P19": "p19_asking",
    "P11": "p11_fresh",
}  # P2 is measured with P5; P4M are the rows of P4 that have a model


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", help=f"some of {', '.join(FIGURES)}; all without any")
    parser.add_argument("--tiny", action="store_true", help="the smallest amounts: shows that the figures can be taken")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results are written")
    given = parser.parse_args()
    names = [name.upper() for name in given.figures] or list(FIGURES)
    if unknown := sorted(set(names) - set(FIGURES)):
        parser.error(f"no such figure: {', '.join(unknown)}")
    with installation() as here:
        machine = facts(here)
        rows, seconds, failed = take(here, [name for name in FIGURES if name in names], given.tiny)
    print(table(sorted(rows, key=lambda row: int(row.figure[1:]))))
    result = {"machine": machine, "seconds": seconds, "rows": [row.facts() for row in rows], "failed": failed}
    given.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return 1 if failed else 0


def take(here: Installation, names: list[str], tiny: bool) -> tuple[list[Row], dict[str, float], dict[str, str]]:
    """The rows of all figures, how long each took, and what went wrong; one figure's failure leaves the others."""
    from benchmarks.bench import fresh  # the models behind it need django.setup()

    rows: list[Row] = []
    seconds: dict[str, float] = {}
    failed: dict[str, str] = {}
    known: dict[str, Any] = {}
    for name in names:
        print(f"{name} …", end=" ", flush=True, file=sys.stderr)
        begun = time.monotonic()
        try:
            with fresh(here, tiny, known) as bench:
                rows += importlib.import_module(f"benchmarks.figures.{FIGURES[name]}").measure(bench)
        except Exception as error:  # noqa: BLE001  the other figures can still be taken
            traceback.print_exc()
            failed[name] = f"{type(error).__name__}: {error}"
        seconds[name] = round(time.monotonic() - begun, 1)
        print(f"{seconds[name]} s", file=sys.stderr)
    return rows, seconds, failed


def facts(here: Installation) -> dict[str, Any]:
    """The machine that the figures are true of."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load": [round(value, 1) for value in os.getloadavg()],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": platform.platform(),
        "python": platform.python_version(),
        "postgres": here.version(),
    }


if __name__ == "__main__":
    sys.exit(main())
