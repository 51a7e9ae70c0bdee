"""Rules that say what people mean: tried before they are switched on, and narrowed where something is approved."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open, Site, ready
from tests.browser.test_axe import LOOKS, complaints

pytestmark = [pytest.mark.browser]
PHONE = {"viewport": {"width": 375, "height": 812}, "has_touch": True, "is_mobile": True}
NAME = "payments.transfer"


def asked(site: Site, **params: Any) -> str:
    body = {"kind": "tool", "title": "Transfer money", "action": {"name": NAME, "params": params}}
    return str(site.call("POST", "/approvals", body)["id"])


@pytest.fixture(autouse=True)
def without_rules(site: Site) -> Iterator[None]:
    yield
    for policy in site.call("GET", "/permissions?limit=100")["data"]:
        site.call("DELETE", f"/permissions/{policy['id']}")
    for approval in site.call("GET", "/approvals?limit=200")["data"]:
        site.call("POST", f"/approvals/{approval['id']}/cancel", {})


def picture(page: Page, name: str) -> None:
    if os.environ.get("SHOTS"):
        page.screenshot(path=f"{os.environ['SHOTS']}/{name}.png", full_page=True)


@pytest.mark.parametrize("script", [True, False])
def test_a_rule_is_tried_and_then_switched_on(site: Site, look: Open, script: bool) -> None:
    for amount in (10, 20, 900):
        asked(site, to={"iban": "DE11"}, amount=amount)
    page = look("owner", "/policies/new", java_script_enabled=script)
    page.get_by_label("Action", exact=True).fill(NAME)
    page.get_by_role("radio", name="Allow It runs").check()
    page.get_by_label("Parameter 1").fill("amount")
    page.get_by_label("Comparison 1").select_option("is under")
    page.get_by_label("Value 1").fill("500")
    page.get_by_label("How many times").fill("5")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#tried")).to_contain_text("it would have let through all")
    expect(page.get_by_label("Value 1")).to_have_value("500")
    picture(page, f"tried-{script}")
    page.get_by_role("button", name="Make the policy").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(
        f"Every call of {NAME} where amount is under 500 is allowed without asking 5 times"
    )
    picture(page, f"policy-{script}")


@pytest.mark.parametrize("script", [True, False])
def test_only_this_recipient_goes_ahead_unasked(site: Site, look: Open, script: bool) -> None:
    approval = asked(site, to={"iban": "DE11"}, amount=10)
    page = look("ana", f"/approvals/{approval}", java_script_enabled=script)
    pin = page.get_by_role("checkbox", name="to.iban is “DE11”")
    expect(pin).to_be_hidden()
    page.get_by_label("Next time it wants to").select_option("go ahead, without asking")
    pin.check()
    picture(page, f"pins-{script}")
    if script:
        ready(page)
    page.get_by_role("button", name="Approve").first.click()
    expect(page.get_by_text("Approved").first).to_be_visible()
    [policy] = site.call("GET", "/permissions")["data"]
    assert policy["when"] == [{"path": "to.iban", "op": "eq", "value": "DE11"}]
    same = site.call("GET", f"/approvals/{asked(site, to={'iban': 'DE11'}, amount=99)}")
    other = site.call("GET", f"/approvals/{asked(site, to={'iban': 'DE22'}, amount=1)}")
    assert [row["status"] for row in (same, other)] == ["approved", "pending"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_a_condition_is_no_wider_than_the_screen(site: Site, look: Open, scheme: str) -> None:
    long = {"path": "p" * 200, "op": "matches", "value": "x" * 200}
    made = site.call("POST", "/permissions", {"tool": NAME, "effect": "ask", "when": [long]})
    for path in (f"/policies/{made['id']}", f"/policies/new?like={made['id']}", "/policies"):
        page = look("owner", path, color_scheme=scheme, **PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
        picture(page, f"phone-{scheme}-{path.strip('/').replace('/', '-')[:12]}-{'like' if 'like' in path else ''}")


@pytest.mark.parametrize("mode", LOOKS)
def test_axe_finds_nothing_on_rules(site: Site, look: Open, mode: str) -> None:
    approval = asked(site, to="DE11", amount=10)
    made = site.call(
        "POST", "/permissions", {"tool": NAME, "effect": "ask", "when": [{"path": "amount", "op": "gt", "value": 99}]}
    )
    page = look("owner", f"/approvals/{approval}", **LOOKS[mode])
    page.get_by_label("Next time it wants to").select_option("go ahead, without asking")
    ready(page)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")  # what the bar covers has its size further down
    found = {"card": complaints(page)}
    for path in (f"/policies/{made['id']}", "/policies", f"/policies/new?like={made['id']}"):
        page.goto(path)
        for fold in page.locator("main details").all():
            fold.locator("summary").click()
        found[path] = complaints(page)
    page.get_by_label("Value 1").fill("much")
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_text("Must be a number.").first).to_be_visible()
    found["wrong"] = complaints(page)
    page.get_by_label("Value 1").fill("5")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#tried")).to_be_visible()
    found["tried"] = complaints(page)
    assert not any(found.values()), "\n".join(f"{where}: {what}" for where, what in found.items() if what)
