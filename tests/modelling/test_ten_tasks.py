"""What the model behind MODEL_TEST_URL can do, on real machines: an installation of its own, small pages on this computer.

MODEL_TEST_MODEL, MODEL_TEST_KEY, MODEL_TEST_WIRE (compatible) and MODEL_TEST_OPTIONS (a profile's, as JSON) say the rest.
MODEL_TEST_EMULATED is a port for the pages, and says that the model is the emulator: each task names its story.
"""

import os
from collections.abc import Iterator
from threading import Thread

import pytest

from config.own_processes import wait_until
from tests.drivers.conftest import Site
from tests.live.fresh import Fresh, installed
from tests.modelling.attempts import add_profile, attempt
from tests.modelling.conftest import ATTEMPTS
from tests.modelling.pages import PAGES
from tests.modelling.tasks import TASKS, Task

URL = os.environ.get("MODEL_TEST_URL", "")
EMULATED = os.environ.get("MODEL_TEST_EMULATED", "")
pytestmark = [
    pytest.mark.model,
    pytest.mark.browser,
    pytest.mark.skipif(not URL, reason="MODEL_TEST_URL names no model to be tested (docs/models.md)"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = Site(int(EMULATED or 0))
    for path, html in PAGES.items():
        site.page(html, path)
    Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture(scope="module")
def fresh(site: Site) -> Iterator[Fresh]:
    for fresh in installed("browser", MACHINE_ALLOWED_HOSTS=site.host):
        words = [os.environ.get(f"MODEL_TEST_{name}", "") for name in ("WIRE", "MODEL", "OPTIONS", "KEY")]
        add_profile(fresh, URL, words[0] or "compatible", words[1], words[2] or "{}", words[3])
        yield fresh


@pytest.mark.parametrize("task", TASKS, ids=[task.name for task in TASKS])
def test_the_model_does(task: Task, fresh: Fresh, site: Site, pytestconfig: pytest.Config) -> None:
    assert wait_until(fresh.is_free, 30, 0.1)
    made = attempt(fresh, site, task, f" story:{task.name}" if EMULATED else "")
    pytestconfig.stash[ATTEMPTS].append(made)
    assert not made.problem, made.problem
