"""The pages of the models in Chromium: by keyboard, on a phone, in the dark, under axe; and a test that the page follows to its end."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect

from tests import needs_openai  # noqa: F401 - skips this file without the SDK
from tests.browser.conftest import Open, Site
from tests.browser.test_axe import LOOKS, complaints

pytestmark = [pytest.mark.browser]


class Refuses(BaseHTTPRequestHandler):
    """A vendor that takes no key."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.dumps(
            {"error": {"message": "Invalid key", "type": "invalid_request_error", "code": "invalid_api_key"}}
        ).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def vendor() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def add(page: Page, name: str, address: str) -> None:
    """By keyboard alone, as the form is read."""
    page.goto("/models/new?wire=openai")
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.press("Control+A")
    for text in (name, "gpt-6-astra", address, "sk-very-secret"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def remove(page: Page) -> None:
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete the model").click()
    expect(page.get_by_text("is deleted")).to_be_visible()


def test_a_model_is_added_tested_and_deleted(site: Site, look: Open, vendor: str) -> None:
    page = look("owner", "/models")
    add(page, "by-keyboard", vendor)
    assert "sk-very-secret" not in page.content()
    page.get_by_role("button", name="Run the test").click()
    outcome = page.get_by_role("status").filter(has_text="was refused (401)")
    expect(outcome).to_be_visible(timeout=60_000)  # the page follows the test to its end
    assert "sk-very-secret" not in page.content()
    page.get_by_role("link", name="Make it the default").click()
    expect(page.get_by_role("button", name="Use it anyway")).to_be_visible()
    page.get_by_role("link", name="Back to the test").click()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_text("No new run can have it")).to_be_visible()
    remove(page)


@pytest.mark.parametrize("mode", LOOKS)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(site: Site, look: Open, vendor: str, mode: str) -> None:
    page = look("owner", "/models", **LOOKS[mode])
    found = {"/models, empty": complaints(page)}
    add(page, f"axe-{mode}", vendor)
    address = page.url
    for path in (
        "/models",
        "/models/new",
        "/models/new?wire=anthropic",
        address,
        f"{address}/edit",
        f"{address}/default",
        f"{address}/delete",
    ):
        page.goto(path)
        for fold in page.locator("main details:not([open]) > summary").all():
            fold.click()
        found[path] = complaints(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.goto(address)
    remove(page)
    assert not any(found.values()), "\n".join(f"{where}: {what}" for where, what in found.items() if what)
