"""`python -m benchmarks.keyboard ADDRESS TEST_KEY E-MAIL PASSWORD`: a hundred mixed requests, half of runs and half of programs,
cleared by keyboard in a real browser.

It waits for each card as its reader must (400 ms), reads what is not on the screen, answers what is asked, presses `y` where `a`
is too little, and prints how long a hundred take against the goal of 60 s, and how long a card takes to come after a key.
The installation is one that is running; its test world should have an empty queue.
"""

import shutil
import sys
import time
from statistics import quantiles

import httpx
from playwright.sync_api import Page, sync_playwright

GOAL = 60.0  # seconds for 100 requests
ROUNDS = 5
ASKS = {"human_in_the_loop": True, "permission_mode": "approval"}
MIX: list[tuple[str, dict[str, object]]] = [
    ("[pause]", {}), ("[question]", {}), ("[steps:1]", ASKS), ("[input]", {}), ("[takeover]", {}), ("[questions:2]", {}),
    ("[spend] [steps:1]", ASKS), ("[question:multi]", {}), ("[secret]", {}), ("move [steps:1]", ASKS | {"permission_mode": "plan"}),
]  # fmt: skip
REFUND = {"name": "shop.refund", "params": {"order": 1042, "amount": 12.5}, "host": "shop.test"}
CHOICE = [{"question": "Which tone?", "options": [{"label": "Warm (Recommended)"}, {"label": "Dry"}]}]
OPEN_QUESTION = [{"question": "What should it say?"}]
DATA = {"type": "object", "properties": {"mail": {"type": "string"}}, "required": ["mail"]}
PROGRAMS: list[dict[str, object]] = [
    {"kind": "approval", "title": "Deploy?"}, {"kind": "approval", "title": "Deploy this?", "action": REFUND},
    {"kind": "tool", "title": "Refund", "action": REFUND}, {"kind": "tool", "title": "Pay", "action": REFUND | {"risk": "spend"}},
    {"kind": "tool", "title": "Refund again", "action": REFUND, "message": "He wrote twice."},
    {"kind": "question", "title": "The tone", "questions": CHOICE}, {"kind": "question", "title": "Text", "questions": OPEN_QUESTION},
    {"kind": "question", "title": "Two at once", "questions": [*CHOICE, *OPEN_QUESTION]},
    {"kind": "input", "title": "Data", "input_schema": DATA}, {"kind": "approval", "title": "Send?", "message": "It is ready."},
]  # fmt: skip
SENDS = "Boolean(document.querySelector('form.htmx-request'))"
OPEN = "document.querySelector('[data-card]')?.dataset.card ?? ''"
# Watched in the page, at each of its frames: a wait from outside looks every half second, which is no reader's delay.
WHEN = """([card, also]) => new Promise((done, fail) => {
    const begun = performance.now();
    const look = () => {
        const open = document.querySelector("[data-card]")?.dataset.card ?? "";
        if (open !== card || (also && document.querySelector(also))) done(open);
        else if (performance.now() - begun < 20_000) requestAnimationFrame(look);
        else fail(new Error(`${card} stays: ${document.querySelector("[data-bar]").innerText}`));
    };
    look();
})"""


def main() -> int:
    if len(sys.argv) != 5:
        print(__doc__)
        return 2
    address, key, email, password = sys.argv[1:]
    ask(address, key)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(base_url=address, viewport={"width": 1280, "height": 800})
        sign_in(page, email, password)
        begun, reactions = time.monotonic(), []
        while page.evaluate(OPEN):
            reactions.append(decide(page))
        took = time.monotonic() - begun
        browser.close()
    report(took, reactions)
    return 0


def ask(address: str, key: str) -> None:
    with httpx.Client(base_url=f"{address}/v1", headers={"X-API-Key": key}, timeout=60) as api:
        for number in range(ROUNDS):
            for task, more in MIX:
                api.post("/runs", json={"task": f"{number} {task}", **more}).raise_for_status()
            for request in PROGRAMS:
                api.post("/approvals", json=request).raise_for_status()
        while api.get("/runs", params={"status": "queued,running", "limit": 1}).json()["data"]:
            time.sleep(0.2)


def sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    page.get_by_role("button", name="Test", exact=True).click()
    page.get_by_text("TEST WORLD").wait_for()


def decide(page: Page) -> float:
    """Say yes to the open card; seconds from the last key to the next card."""
    card, sent = page.evaluate(OPEN), time.monotonic()
    for _ in range(12):
        if page.evaluate(WHEN, [card, "[data-bar][data-ready]"]) != card:
            return time.monotonic() - sent
        sent = time.monotonic()
        page.keyboard.press("a")
        if press_on(page):
            break
    sent = time.monotonic()
    page.evaluate(WHEN, [card, ""])
    return time.monotonic() - sent


def press_on(page: Page) -> bool:
    """Do what the card wants next; True when its decision is on the way."""
    sends, armed, field = page.evaluate(f"""[
        {SENDS}, Boolean(document.querySelector('[data-armed]')),
        document.activeElement.closest('[data-card]') && document.activeElement.type]""")
    if sends:
        return True
    if armed:
        page.keyboard.press("y")
    elif field in ("radio", "checkbox"):
        page.keyboard.press("Space")
    elif field == "textarea":
        page.keyboard.type("done")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
    elif field in ("text", "password"):
        page.keyboard.type("eve@acme.test")
        page.keyboard.press("Enter")
    # An Enter that only brought into view what was not seen yet is pressed again.
    return bool(armed or (field in ("textarea", "text", "password") and page.evaluate(SENDS)))


def report(took: float, reactions: list[float]) -> None:
    per_hundred = took / len(reactions) * 100
    half, most = quantiles(reactions, n=100)[49], quantiles(reactions, n=100)[98]
    print(
        f"{len(reactions)} requests decided in {took:.1f} s: {per_hundred:.1f} s per 100, {per_hundred / GOAL:.2f} of the goal"
    )
    print(f"last key to the next card: p50 {half:.3f} s, p99 {most:.3f} s")


if __name__ == "__main__":
    raise SystemExit(main())
