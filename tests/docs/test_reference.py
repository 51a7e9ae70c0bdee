"""The reference pages name every refusal, run error, event, setting and command of the code. A lack fails here."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import load_command_class

import config.urls  # noqa: F401  loads every app's doors, and with them every refusal
from runs.errors import RUN_ERRORS
from web.errors import Refusal

ROOT = Path(settings.BASE_DIR)
DOCS = ROOT / "docs"
APPS = [
    ROOT / name
    for name in (
        "accounts",
        "approvals",
        "billing",
        "config",
        "database",
        "inference",
        "machines",
        "mcp_server",
        "runs",
        "web",
        "workflows",
    )
]
FOREIGN = {"PYTHONPATH", "PATH", "HOME", "DJANGO_SETTINGS_MODULE"}  # of the system, not of this product
EVENTS = {
    "status", "text", "reasoning", "tool_call", "tool_result", "step", "billing", "awaiting_human", "resumed", "error",
    "done",
    "screenshot", "approval", "takeover", "resync",
}  # fmt: skip
# Ours, and those of other packages that somebody runs.
COMMANDS = {path.stem for app in APPS for path in app.glob("management/commands/*.py")} - {"__init__"} | {
    "qcluster",
    "migrate",
}


def sources() -> Iterator[Path]:
    for app in APPS:
        yield from app.rglob("*.py")


def headed(page: str) -> set[str]:
    """What the page's tables explain: the `code` in the first cell of each row."""
    rows = [line.split("|")[1] for line in (DOCS / page).read_text().splitlines() if line.startswith("| ")]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row)}


def refusals(base: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for each in base.__subclasses__():
        yield each
        yield from refusals(each)


def test_every_refusal_is_explained() -> None:
    page = (DOCS / "errors.md").read_text()
    for refusal in refusals():
        if refusal.__module__.startswith("tests"):
            continue
        rows = [line for line in page.splitlines() if line.startswith(f"| `{refusal.code}`")]
        assert any(f"| {refusal.status} |" in row for row in rows), (
            f"docs/errors.md lacks {refusal.status} {refusal.code}"
        )


def test_no_refusal_is_explained_that_does_not_exist() -> None:
    known = {refusal.code for refusal in refusals()} | set(RUN_ERRORS)
    planned = set((DOCS / "errors.md").read_text().partition("Codes of later parts")[2].split("`")[1::2])
    assert headed("errors.md") - known <= planned


def test_every_refusal_has_a_sentence_of_its_own() -> None:
    for refusal in refusals():
        assert (refusal.__doc__ or "").strip().endswith("."), refusal


def test_every_run_error_is_explained() -> None:
    assert set(RUN_ERRORS) <= headed("errors.md")


def events_written() -> set[str]:
    """Event types in the code: pairs of a word and its data in the modules that write the log."""
    found = set()
    for path in [*(ROOT / "runs").rglob("*.py"), *(ROOT / "workflows").rglob("*.py")]:
        if not re.search(r"from runs\.(log|services) import", path.read_text()):
            continue  # writes no log
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant):
                word, data = node.elts[0].value, node.elts[1]
                if (
                    isinstance(word, str)
                    and re.fullmatch(r"[a-z_]+", word)
                    and isinstance(data, ast.Dict | ast.Name | ast.BinOp)
                ):
                    found.add(word)
    return found


def test_every_event_type_is_explained() -> None:
    assert events_written() >= {"status", "tool_call", "awaiting_human", "resumed", "done"}
    assert events_written() | EVENTS <= headed("events.md")


def test_every_enveloped_type_is_explained() -> None:
    text = (ROOT / "runs" / "live" / "envelopes.py").read_text()
    named = set(re.findall(r'"(run\.[a-z_.]+)"', text)) | {f"run.worker.{end}" for end in ("succeeded", "failed")}
    assert len(named) > 6
    assert named | {"run.cancelled", "run.timed_out"} <= headed("events.md")


def settings_read() -> set[str]:
    """Names of the environment that the code reads."""
    pattern = re.compile(
        r"""(?:\benv\.\w+|environ\.get|\bgetenv)\(\s*"([A-Z][A-Z0-9_]+)"|environ\["([A-Z][A-Z0-9_]+)"\]"""
    )
    return {a or b for path in sources() for a, b in pattern.findall(path.read_text())} - FOREIGN


def test_every_setting_is_explained() -> None:
    assert settings_read() >= {"DATA_DIR", "DATABASE_URL", "PORT", "LEASE_SECONDS"}
    assert settings_read() == headed("settings.md")


def test_every_command_and_each_of_its_options_is_explained() -> None:
    page = (DOCS / "commands.md").read_text()
    assert {f"manage.py {name}" for name in COMMANDS} <= headed("commands.md")
    for path in (ROOT / "config" / "management" / "commands").glob("[a-z]*.py"):
        if path.stem == "migrate":  # Django's, with Django's options
            continue
        parser = load_command_class("config", path.stem).create_parser("manage.py", path.stem)
        own = {o for a in parser._actions for o in a.option_strings if o.startswith("--")} - BASE_OPTIONS
        assert {o for o in own if o not in page} == set(), path.stem


BASE_OPTIONS = {
    "--help",
    "--version",
    "--verbosity",
    "--settings",
    "--pythonpath",
    "--traceback",
    "--no-color",
    "--force-color",
    "--skip-checks",
}


def test_every_make_target_is_explained() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {f"make {target}" for target in targets} <= headed("commands.md")


@pytest.mark.parametrize(
    "page", sorted(str(p.relative_to(ROOT)) for p in [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
)
def test_every_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (path.parent / target).exists(), f"{page} links to {target}"


PLACE = re.compile(
    r"`((?:accounts|approvals|billing|clients|config|database|inference|machines|mcp_server|runs|static|templates|tests|web"
    r"|workflows)/[\w/.-]*)`"
)


@pytest.mark.parametrize(
    "page",
    ["architecture.md", "where.md", "../CONTRIBUTING.md", *(f"adr/{p.name}" for p in (DOCS / "adr").glob("*.md"))],
)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    assert [name for name in PLACE.findall((DOCS / page).read_text()) if not (ROOT / name).exists()] == []


def test_where_names_what_stands_there() -> None:
    lines = (DOCS / "where.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| I want", "| Address"))]
    assert len(rows) >= 35
    for row in rows:
        assert PLACE.search(row) or "`errors.py`" in row or "`audit.py`" in row, row
        for file, name in re.findall(r"`([\w/]+\.py)` \(`(\w+)`", row):
            assert re.search(rf"^\s*(?:def |class )?{name}\b", (ROOT / file).read_text(), re.MULTILINE), row


def cited() -> Iterator[tuple[Path, str]]:
    for folder in (*APPS, ROOT / "tests", ROOT / "benchmarks"):
        for path in folder.rglob("*.py"):
            yield path, path.read_text()


def test_every_statement_and_section_that_is_cited_stands_in_the_pages_of_the_api() -> None:
    statements = set(re.findall(r"^- (T-\d+) ", (DOCS / "api" / "checks.md").read_text(), re.MULTILINE))
    sections = {
        path.name: set(re.findall(r"^## (\d+)\.", path.read_text(), re.MULTILINE))
        for path in (DOCS / "api").glob("*.md")
    }
    unknown = []
    for path, text in cited():
        unknown += [(path.name, n) for n in re.findall(r"\bT[-_](\d{3})\b", text) if f"T-{n}" not in statements]
        for page, number in re.findall(r"docs/api/([\w-]+\.md)(?: (?:sections? )?(\d+))?", text):
            if page not in sections or (number and number not in sections[page]):
                unknown.append((path.name, f"{page} {number}"))
    assert unknown == []


def test_the_curl_of_the_readme_matches_the_api() -> None:
    paths = set(json.loads((DOCS / "openapi.json").read_text())["paths"])
    for called in re.findall(r"\$HOST(/v1/[\w/$-]*)", (ROOT / "README.md").read_text()):
        assert re.sub(r"\$\w+", "{}", called) in {re.sub(r"{\w+}", "{}", path) for path in paths}, called
