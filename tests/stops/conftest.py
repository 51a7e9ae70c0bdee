"""What simulated machines are told to do, agents that think, and run loops, as in the tests of runs."""

from tests.runs.conftest import acted, play, worker

__all__ = ["acted", "play", "worker"]
