"""Workflows as their authors write them: with the editor, by keyboard, on a phone, without JavaScript."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.conftest import Open, Site
from tests.browser.test_pages_in_chromium import PHONE
from tests.workflows.documents import TRUE, approval, branch, check, loop, parallel, retry, succeed, task
from workflows.definition.examples import examples

pytestmark = [pytest.mark.browser]


def saved(site: Site, slug: str, *steps: Any, **more: Any) -> str:
    """A workflow of the test world; a slug that is there already gets a version more."""
    body = {"name": slug.title(), "slug": slug, "definition": {"steps": list(steps) or [task()]}} | more
    return str(site.call("POST", "/workflows", body)["id"])


def written(page: Page) -> str:
    """What would be sent."""
    return str(page.locator("#id_definition").evaluate("area => area.value"))


def clear(page: Page) -> None:
    page.get_by_role("textbox", name="Definition").click()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")


def test_writing_checking_mending_saving_and_comparing(site: Site, look: Open) -> None:
    page = look("owner", "/workflows/new")
    page.get_by_label("Name", exact=True).fill("Jam jars")
    clear(page)
    expect(page.locator("#checked")).to_contain_text("There is no text.")
    page.keyboard.type('{"steps": [\n{"id": "jar", "type": "task", "task": "ask about jars", "agent": "jkare"}\n]}')
    assert '"jkare"' in written(page)  # letters, not shortcuts
    problem = page.locator("#checked .problem")
    expect(problem).to_have_count(1)
    expect(problem).to_contain_text("Line 2: Unknown agent")
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)
    page.locator(".cm-lint-marker-error").hover()
    expect(page.locator(".cm-tooltip")).to_contain_text("Unknown agent")
    page.get_by_role("link", name="Line 2").click()
    expect(page.get_by_role("textbox", name="Definition")).to_be_focused()
    page.keyboard.press("Control+f")
    page.keyboard.type("jkare")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.keyboard.type("playbook")
    expect(page.locator("#checked .check-says")).to_contain_text("in order")
    expect(page.locator(".cm-lint-marker-error")).to_have_count(0)
    expect(page.locator(".graph-node")).to_have_count(1)
    page.keyboard.press("Control+s")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jam jars")
    page.get_by_role("link", name="Edit").click()
    clear(page)
    page.keyboard.insert_text(json.dumps({"steps": [task("jar"), approval("gate")]}, indent=1))
    expect(page.locator(".graph-node")).to_have_count(2)
    page.get_by_role("button", name="Save as version 2").click()
    expect(page.get_by_text("Saved as version 2.")).to_be_visible()
    page.get_by_role("link", name="What changed in version 2").click()
    expect(page.get_by_text("1 step added (gate), 1 step changed (jar).")).to_be_visible()
    expect(page.locator(".diff-row.is-added").filter(has_text="human_approval")).to_have_count(1)


def test_the_last_good_drawing_stays_while_the_text_is_wrong(site: Site, look: Open) -> None:
    page = look("owner", f"/workflows/{saved(site, 'stale', task('one'), task('two'))}/edit")
    page.get_by_role("textbox", name="Definition").click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Backspace")
    expect(page.get_by_text("of the last text that was in order")).to_be_visible()
    expect(page.locator(".is-stale .graph-node")).to_have_count(2)
    page.keyboard.press("Control+z")
    expect(page.get_by_text("of the last text that was in order")).to_have_count(0)
    expect(page.locator(".graph-node")).to_have_count(2)


def test_a_step_of_the_drawing_leads_to_its_text(site: Site, look: Open) -> None:
    page = look("owner", f"/workflows/{saved(site, 'leads', *[task(f't{n}') for n in range(30)])}/edit")
    page.get_by_role("link", name="Task t29:").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Definition")).to_be_focused()
    page.keyboard.type("x")
    expect(page.locator("#checked .problem")).to_have_count(1)
    assert '"t29"' not in written(page)


def test_the_keyboard_is_not_trapped(site: Site, look: Open) -> None:
    page = look("owner", f"/workflows/{saved(site, 'tabs')}/edit")
    editor = page.get_by_role("textbox", name="Definition")
    before = written(page)
    editor.focus()
    page.keyboard.press("Tab")
    expect(editor).to_be_focused()
    assert written(page) != before  # it indents
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(editor).not_to_be_focused()
    expect(page.get_by_text("then Tab leaves the editor")).to_be_visible()


def test_the_inputs_have_an_editor_of_their_own(site: Site, look: Open) -> None:
    page = look("owner", f"/workflows/{saved(site, 'inputs')}/edit")
    page.get_by_text("Description, inputs").click()
    page.get_by_role("textbox", name="Inputs").click()
    page.keyboard.type('{\n"file": {"type": "nonsense"}}')
    expect(page.locator("#checked .problem")).to_contain_text("Inputs, line")
    expect(page.locator(".cm-lint-marker-error")).to_have_count(1)


def test_who_was_overtaken_keeps_the_text(site: Site, look: Open) -> None:
    workflow_id = saved(site, "race", task("a"))
    page = look("owner", f"/workflows/{workflow_id}/edit")
    saved(site, "race", task("b"))
    clear(page)
    page.keyboard.insert_text(json.dumps({"steps": [task("mine")]}))
    page.get_by_role("button", name="Save as version").click()
    expect(page.get_by_role("alert")).to_contain_text("while you were writing")
    assert "mine" in written(page)
    page.get_by_role("button", name=re.compile("Save as version")).click()
    expect(page.get_by_text("Saved as version")).to_be_visible()
    expect(page.locator(".graph-node")).to_contain_text("mine")


def test_leaving_with_unsaved_words_is_asked_about(site: Site, look: Open) -> None:
    page = look("owner", f"/workflows/{saved(site, 'leave')}/edit")
    page.get_by_role("textbox", name="Definition").click()
    page.keyboard.type("x")
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.once("dialog", stay)
    page.get_by_role("link", name="Back").click()
    expect(page).to_have_url(re.compile("/edit$"))
    assert asked == ["beforeunload"]


def test_without_javascript_the_same_form_checks_and_saves(site: Site, look: Open) -> None:
    page = look("owner", "/workflows/new", java_script_enabled=False)
    page.get_by_role("link", name="Wait for a file").click()
    area = page.get_by_label("Definition")
    text = area.input_value()
    area.fill(text.replace('"falsy"', '"false"'))
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#checked .problem")).to_contain_text(re.compile(r"Line\s+\d+:\s+Unknown operator"))
    area.fill(text)
    page.get_by_label("Slug").fill("without-script")
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#checked")).to_contain_text("The document is in order.")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Wait for a file")
    page.get_by_role("button", name="Archive").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The workflow is active again.")).to_be_visible()


def test_a_viewer_finds_every_step_by_keyboard_and_nothing_to_change(site: Site, look: Open) -> None:
    page = look("bob", f"/workflows/{saved(site, 'seen', task('one'), retry('two', [check('three')]))}")
    expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    page.get_by_role("link", name="Task one:").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Retry two: up to 2 attempts")).to_be_focused()
    page.get_by_text("The steps as a list").click()
    expect(page.locator("#step-three")).to_be_visible()


MANY = [
    branch("i", TRUE, [task("a", "Word " * 40)], [parallel("p", *([task(f"t{n}")] for n in range(16)))]),
    loop("l", [retry("r", [task("x" * 64)])], count=3), succeed(),
]  # fmt: skip


@pytest.mark.parametrize("path", ["", "/edit", "/versions/1", "/diff?from=1&to=2"])
def test_on_a_phone_nothing_is_wider_than_the_screen(site: Site, look: Open, path: str) -> None:
    workflow_id = saved(site, "phone", task())
    saved(site, "phone", *MANY)
    page = look("owner", f"/workflows/{workflow_id}{path}", **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    expect(page.locator(".nav > [aria-current]")).to_be_in_viewport(ratio=0.9)


def test_the_list_and_the_form_of_a_new_one_fit_on_a_phone(site: Site, look: Open) -> None:
    for body in examples().values():
        site.call("POST", "/workflows", body)
    for path in ("/workflows", "/workflows/new?example=parallel"):
        page = look("owner", path, **PHONE)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
