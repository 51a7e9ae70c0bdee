"""The clock of a computer is not believed: ages and time left are counted by the server's."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open, Site

pytestmark = [pytest.mark.browser]


@pytest.mark.parametrize(("hours", "word"), [(2, "fast"), (-2, "slow")])
def test_a_clock_that_is_wrong_changes_no_time_left(site: Site, look: Open, hours: int, word: str) -> None:
    _, request = site.waiting("late or not [pause]", awaiting_human_timeout_seconds=600)
    page = look("ana", "/runs")
    page.clock.install(time=datetime.now(UTC) + timedelta(hours=hours))
    page.goto(f"/approvals/{request}")
    expect(page.locator(".card-time")).to_have_text(re.compile(r"(9 min|10 min).*left\s*asked \d+ s ago"))
    expect(page.locator("#clock-note")).to_contain_text(
        re.compile(rf"The clock of this computer is (2 h 0|1 h 59) min {word}")
    )


def test_a_clock_that_is_right_is_not_spoken_of(look: Open) -> None:
    page = look("ana")
    expect(page.locator("#clock-note")).to_be_hidden()
