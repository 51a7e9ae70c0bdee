"""The page of a run with a model while the model works, as a person sees it; and the form that starts one."""

import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Open, Site
from tests.browser.test_axe import LOOKS, complaints

pytestmark = [pytest.mark.browser]
EVIL = "</details><script>document.title = 'hacked'</script> \u202eaa " + "long" * 60


def by_hand(site: Site, code: str, run_id: str = "") -> str:
    """What a model would do, by another process of the same installation; returns what it prints."""
    begin = (
        f"from tests.modelled import *; run = ModelRun.known({run_id!r}) if {run_id!r} else ModelRun.of_first_team()\n"
    )
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", begin + code]
    done = subprocess.run(command, cwd=ROOT, env=site.environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FULL = f"""
run.thought("First the page has to be open.", call(input=2345, cached=1200, output=56), text="I open the shop.")
run.act("open_url", "I open the shop.", url="http://shop.test/")
run.thought("", call(), looks=(run.look("#345"), run.look("#543", (10, 20, 300, 200))))
run.thought({EVIL!r}, call(status="busy", why="Overloaded", input=None, output=None, microcents=None), call(microcents=None))
run.act(text="I click the price.")
run.thought("It is 42.", call())
print(run.run.id)
"""


def test_it_is_followed_live_and_what_a_reader_opened_stays_open(site: Site, look: Open) -> None:
    run_id = by_hand(site, "print(run.run.id)")
    page = look("bob", f"/runs/{run_id}")
    expect(page.get_by_role("heading", name="Model", exact=True)).to_be_visible()
    by_hand(site, "run.thought('Where is the price?', call())", run_id)
    present = page.locator("#present")
    expect(present.get_by_text("1 model call")).to_be_visible()
    expect(page.get_by_text("Where is the price?")).to_be_hidden()
    present.get_by_text("What the model thought").click()
    expect(page.get_by_text("Where is the price?")).to_be_visible()
    by_hand(site, "run.busy('Too many requests to the model.')", run_id)
    expect(page.locator(".strip-status")).to_contain_text("Too many requests to the model. Waiting for the model since")
    expect(page.get_by_text("Where is the price?")).to_be_visible()
    by_hand(site, "run.thought('There it is.', call(), looks=(run.look('#345'),))\nrun.act()", run_id)
    step = page.locator("[id^=step-1-]")
    expect(step.get_by_text("2 model calls")).to_be_visible()
    expect(page.locator("#present")).to_have_count(0)
    step.get_by_text("What it looked at: 1 picture").click()
    shown = step.get_by_role("img", name="The whole screen, before step 1")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1280
    by_hand(site, "run.stuck('The key was refused.')", run_id)
    expect(page.locator("[data-card]")).to_contain_text("The key was refused.")
    expect(page.locator(".band").filter(has_text="The model cannot be used")).to_be_visible()


def test_the_verdict_comes_with_what_the_verifier_saw(site: Site, look: Open) -> None:
    run_id = by_hand(site, FULL)
    page = look("bob", f"/runs/{run_id}")
    expect(page.locator("#present")).to_contain_text("Now")
    end = "run.end(Verdict(False, 'fail', 'It is 24.', ('The heading says 24.', 'No 42 anywhere.')))"
    by_hand(site, end, run_id)
    expect(page.get_by_role("heading", name="The verifier’s verdict: fail")).to_be_visible()
    expect(page.get_by_role("list", name="What the verifier saw").get_by_role("listitem")).to_have_count(2)


@pytest.mark.parametrize("mode", LOOKS)
def test_axe_and_the_width_of_the_window_are_content_with_it(site: Site, look: Open, mode: str) -> None:
    run_id = by_hand(site, FULL)
    page = look("owner", f"/runs/{run_id}", **LOOKS[mode])
    _open_all(page)
    assert page.title() != "hacked"
    assert complaints(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    by_hand(site, "run.stuck('The key was refused.')", run_id)
    expect(page.locator("[data-card]")).to_be_visible()
    _open_all(page)
    assert complaints(page) == []
    page.goto("/runs/new?agent=claude")
    _open_all(page)
    assert complaints(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _open_all(page: Page) -> None:
    page.evaluate("document.querySelectorAll('main details').forEach(each => { each.open = true; })")


def test_the_form_shows_what_the_chosen_agent_reads(site: Site, look: Open) -> None:
    by_hand(site, "print(run.run.id)")  # and with it a profile
    page = look("owner", "/runs/new", world="live")
    agent, prompt = page.get_by_label("Agent", exact=True), page.get_by_label("System prompt")
    sentences, reading = page.get_by_text("What the playbook agent understands"), page.locator("#reading")
    agent.select_option("playbook")
    page.get_by_label("Task", exact=True).fill("press Enter")
    expect(reading).to_contain_text("all understood")
    expect(sentences).to_be_visible()
    expect(prompt).to_be_hidden()
    agent.select_option("claude")
    expect(prompt).to_be_visible()
    expect(page.get_by_label("Further instructions for the agent")).to_be_visible()
    expect(sentences).to_be_hidden()
    expect(reading).to_be_empty()
    page.get_by_text("What it has to hand over").click()
    page.get_by_label("JSON Schema of the output").fill("{")
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_text("This is not JSON")).to_be_visible()
