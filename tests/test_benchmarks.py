"""The benchmarks can be taken: each figure in its smallest form, with real processes; and how the table judges."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.table import Mark, Row, percentile, table

ROOT = Path(__file__).resolve().parents[1]
OURS = ("DATABASE_URL", "DATA_DIR", "DJANGO_SETTINGS_MODULE", "COUNTERSIGN_TEST_SERVER")
FIGURES = {f"P{number}" for number in (*range(1, 8), *range(9, 16), 17, 18, 19)}


@pytest.mark.slow
def test_every_figure_is_taken_and_written(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    command = [sys.executable, "-m", "benchmarks", "--tiny", "--out", str(tmp_path / "results.json")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["failed"] == {}
    assert {row["figure"] for row in written["rows"]} == FIGURES
    assert {"date", "cores", "load", "python", "postgres"} <= set(written["machine"])
    assert all(row["what"] in done.stdout for row in written["rows"])


def test_an_unknown_figure_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "P99"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no such figure: P99" in done.stderr


@pytest.mark.parametrize(
    ("value", "first", "goal", "verdict"),
    [
        (0.8, 0.3, 0.7, "goal"),
        (0.5, 0.3, 0.7, "first"),
        (0.2, 0.3, 0.7, "short"),
        (4, 20, 5, "goal"),
        (6, 20, 5, "first"),
        (21, 20, 5, "short"),
    ],
)
def test_a_mark_knows_which_way_is_better(value: float, first: float, goal: float, verdict: str) -> None:
    assert Mark(value, first, goal).verdict == verdict


def test_the_worst_mark_is_the_verdict_of_the_row() -> None:
    row = Row("P1", "two marks", "x", marks=(Mark(4, 20, 5), Mark(90, 80, 15)))
    assert row.verdict == "short"
    assert "| short   |" in table([row])


def test_percentiles_are_values_that_were_measured() -> None:
    assert percentile([float(n) for n in range(1, 101)], 99) == 99
    assert percentile([3.0], 99) == 3.0
