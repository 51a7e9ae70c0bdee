"""`make demo-model`: the emulator as a model, an installation of its own, and a run on a real browser machine.

Settings by environment: PORT, DATA_DIR (./.data/demo), DEMO_DELAY (seconds for each answer of the model, 1.5).
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import httpx

from config.own_processes import die_with_parent
from tests.demo.product import ROOT, CannotShow, Product, nobody_else, port_for, started
from tests.demo.shop import open_shop
from tests.demo.telling import events, line_of
from tests.emulator import story
from tests.emulator.server import Emulator, in_thread

STORY = Path(__file__).with_name("story.json")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PLACEHOLDER = "tea.example"
TASK = "Order one packet of Assam tea at http://{shop}/ for Ada Lovelace in London. Ask me before you place the order."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--with-parent", action="store_true", help="end when the parent (make) is gone, even by kill")
    for signum in SIGNALS:
        if signum != signal.SIGHUP or signal.getsignal(signum) != signal.SIG_IGN:  # nohup wants to be left alone
            signal.signal(signum, _interrupt)
    if parser.parse_args().with_parent:
        die_with_parent(signal.SIGTERM)
    try:
        show()
    except CannotShow as sentence:
        sys.exit(str(sentence))
    except KeyboardInterrupt:
        say("Everything is stopped.")


def show() -> None:
    folder = Path(os.environ.get("DATA_DIR") or ROOT / ".data" / "demo").resolve()
    nobody_else(folder)
    port, sentence = port_for(os.environ.get("PORT") or None)
    if sentence:
        say(sentence)
    with open_shop() as shop, in_thread(model(shop)) as emulator:
        say(
            f"Model     an emulator that tells a story, at {emulator.url('compatible')}; no key, nothing leaves this computer"
        )
        say(f"Starting  Countersign over {folder} (what it says: {folder / 'demo.log'}) …")
        environment = {
            "MODEL_BASE_URL": emulator.url("compatible"), "MODEL_NAME": "storyteller", "MACHINE_ALLOWED_HOSTS": shop,
        }  # fmt: skip
        with started(folder, port, **environment) as product, undisturbed_end():
            product.wait()
            say("Waiting   for a browser machine; where no Chromium works one is fetched first …")
            follow(product, begin(product, shop))
            say("\nLook at the page as long as you like. Ctrl+C ends all of it.")
            wait(product)


def model(shop: str) -> Emulator:
    told = json.loads(STORY.read_text().replace(PLACEHOLDER, shop))
    stories = {name: story.from_json(one) for name, one in told.items()}
    return Emulator(stories, wires=("compatible",), delay=float(os.environ.get("DEMO_DELAY") or 1.5), keep_bodies=False)


def begin(product: Product, shop: str) -> str:
    machine = product.browser()
    body = {"task": TASK.format(shop=shop), "machine_id": machine, "agent": "local", "cua_version": "v4"}
    run_id = str(product.call("POST", "/v1/runs", body)["id"])
    say(f"\nTask      {body['task']}")
    say(f"Watch     {product.base}/runs/{run_id}")
    say(f"Sign in   {product.facts()['Sign in']}\n")
    return run_id


def follow(product: Product, run_id: str) -> None:
    try:
        for kind, data in events(product, run_id):
            if line := line_of(kind, data):
                say(f"  {line}")
            if kind == "awaiting_human":
                say(f"\n  It waits for you: press Approve at {product.base}/runs/{run_id}\n")
    except httpx.HTTPError as problem:
        raise CannotShow(f"Countersign no longer answers ({type(problem).__name__}); see {product.log}") from problem
    run = product.call("GET", f"/v1/runs/{run_id}")
    result = run["result"] or {}
    verdict = f", verifier: {result['verdict']}" if result.get("verdict") else ""
    say(
        f"\nEnd       {run['status']}{verdict}; {run['steps_completed']} steps, {run['cost_cents']} cents of the demo's own credit"
    )
    say(f"          {result.get('summary') or (run['error'] or {}).get('message', '')}")


def wait(product: Product) -> None:
    product.process.wait()
    raise CannotShow(f"Countersign has ended; see {product.log}")


@contextmanager
def undisturbed_end() -> Iterator[None]:
    """A second Ctrl+C must not leave half of it."""
    try:
        yield
    finally:
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        say("\nStopping …")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
