"""The form of a new run reads the task while one types it."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Open

pytestmark = pytest.mark.browser


def test_each_sentence_gets_a_tick_or_a_doubt_while_it_is_typed(look: Open) -> None:
    page = look("owner", "/runs/new", world="live")
    reading = page.locator("#reading")
    page.get_by_label("Task").press_sequentially('click "Save"\nls -la')
    expect(reading).to_contain_text("1 of 2 instructions cannot be read")
    expect(reading.locator("li.is-read")).to_have_text(['Understood: click "Save"'])
    expect(reading.locator("li.is-unread code").first).to_have_text("run `ls -la`")
    page.get_by_label("Task").fill("run `ls -la`")
    expect(reading).to_contain_text("1 instruction, all understood")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
