"""A run signs in with a password and a code of the moment, on a real browser, and neither is found anywhere afterwards:
by the playbook's sentences, and by a model that has never seen them."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import psycopg
import pytest

from accounts.secrets.totp import code
from runs.secrets.redaction import spellings
from tests import needs_anthropic  # noqa: F401 - skips this file without the SDK
from tests.emulator.server import Emulator, in_thread
from tests.emulator.story import Story, Turn
from tests.live.fresh import Fresh, installed

pytestmark = pytest.mark.browser
SEED = "JBSWY3DPEHPK3PXP"
PASSWORDS = ("tr0ub4dor & 3é", "correct-horse-battery-staple!")
STYLE = "<!doctype html><meta charset=utf-8><style>*{caret-color:transparent}input{width:20em}</style>"
SIGN_IN = (
    STYLE
    + """<title>Sign in</title><form method=post action=/password><p><label>Name <input name=name></label>
<p><label>Password <input name=password type=password></label><p><button>Sign in</button></form>"""
)
ASKS_CODE = (
    STYLE
    + """<title>Code</title><form method=post action=/code>
<p><label>Code <input name=code autocomplete=one-time-code></label><p><button>Confirm</button></form>"""
)


class Site(BaseHTTPRequestHandler):
    """Signs in who knows both; `sent` is what came."""

    sent: list[dict[str, list[str]]]

    def do_GET(self) -> None:
        self._answer(SIGN_IN)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        fields = parse_qs(body, keep_blank_values=True)
        self.sent.append(fields)
        right = (
            fields["code"][0] in (code(SEED, time.time()), code(SEED, time.time() - 30)) if "code" in fields else None
        )
        told = f"{STYLE}<title>In</title><h1>{'Welcome' if right else 'No'}</h1>"
        self._answer(ASKS_CODE if right is None else told)

    def _answer(self, page: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(page.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    Site.sent = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def told_to_sign_in(address: str) -> Story:
    """By the keyboard alone: a model that need not look where the fields are."""
    tab, enter = ("key_press", {"key": "tab"}), ("key_press", {"key": "enter"})

    def typed(text: str) -> tuple[str, dict[str, Any]]:
        return "type_text", {"text": text}

    return Story(
        [
            Turn([("open_url", {"url": f"{address}/"})], text="I open the page."),
            Turn([tab, typed("ada"), tab, typed("{{secret:shop password}}"), enter], thinking="I sign in."),
            Turn([("screenshot", {})]),
            Turn([tab, typed("{{secret:shop code}}"), enter], thinking="And the code."),
            Turn([("page_text", {})]),
            Turn([("finish", {"passed": True, "summary": "Signed in."})]),
        ],
        schema=[Turn(text='{"verdict": "pass", "reasons": ["It says so."], "evidence": ["Welcome"]}')],
    )


@pytest.fixture(scope="module")
def vendor(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    log = tmp_path_factory.mktemp("emulator") / "log"
    with in_thread(Emulator({"in": told_to_sign_in(address)}, wires=("anthropic",), log=log)) as emulator:
        yield emulator
    assert emulator.refused == []


@pytest.fixture(scope="module")
def fresh(address: str, vendor: Emulator) -> Iterator[Fresh]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTHROPIC_API_KEY", "sk-test-0123456789")
        patch.setenv("ANTHROPIC_BASE_URL", vendor.url("anthropic"))
        patch.setenv("MACHINE_ALLOWED_HOSTS", address.removeprefix("http://"))
        yield from installed("browser")


def secret(fresh: Fresh, name: str, **body: Any) -> None:
    made = fresh.call("POST", "/v1/secrets", {"name": name, "hosts": ["127.0.0.1"], **body})
    assert made.status_code == 201, made.text


@pytest.fixture(scope="module")
def shop(fresh: Fresh) -> Fresh:
    """With the secrets that signing in takes."""
    secret(fresh, "shop password", value=PASSWORDS[0])
    secret(fresh, "shop code", totp_seed=SEED)
    return fresh


def test_T_187_a_run_signs_in_and_its_secrets_stand_nowhere(shop: Fresh, address: str) -> None:
    task = (
        f'open {address}/\nfill "Name" with "ada"\ntype the secret "shop password" into "Password"\nclick "Sign in"\n'
        'type {{secret:shop code}} into "Code"\nclick "Confirm"\ncheck that "Welcome" is visible'
    )
    signs_in(shop, "playbook", task, lambda: "")


def test_T_187_a_model_signs_in_and_never_sees_the_secrets(shop: Fresh, vendor: Emulator) -> None:
    task = "Sign in with {{secret:shop password}}, then with the code {{secret:shop code}}. story:in"
    signs_in(shop, "claude", task, lambda: log_of(vendor))
    asked = log_of(vendor)
    assert asked.count("{{secret:shop password}}") > 2
    assert "Welcome" in asked


def log_of(vendor: Emulator) -> str:
    """Every request that reached it; with what it answers, as that is part of the next one."""
    assert vendor._log
    return vendor._log.read_text()


def signs_in(fresh: Fresh, agent: str, task: str, vendors_log: Callable[[], str]) -> None:
    """Twice, with different passwords: what is kept, told and shown is the same."""
    pictures = []
    for password in PASSWORDS:
        Site.sent.clear()
        fresh.call("PUT", "/v1/secrets/shop%20password", {"value": password})
        body = {"machine_id": fresh.machine("browser"), "task": task, "cua_version": "v4", "human_in_the_loop": False}
        run_id = fresh.ok("POST", "/v1/runs", {**body, "agent": agent})["id"]
        run = fresh.reaches(run_id, "succeeded", "failed", seconds=90)
        assert (run["state"], run["result"]["passed"]) == ("succeeded", True), (
            run["error"],
            fresh.installation.said[-3000:],
        )
        assert [fields.get("password") for fields in Site.sent] == [[password], None]
        typed = Site.sent[1]["code"][0]
        assert typed.isdigit()
        events = fresh.call("GET", f"/v1/runs/{run_id}/events?format=json&limit=200").text
        assert '"text":"{{secret:shop password}}"' in events
        assert '"text":"{{secret:shop code}}"' in events
        for text in (password, typed):
            calls = fresh.call("GET", f"/v1/runs/{run_id}/calls").text
            _nowhere(fresh, text, events, fresh.call("GET", f"/v1/runs/{run_id}").text, calls, vendors_log())
        shots = fresh.ok("GET", f"/v1/runs/{run_id}/screenshots?limit=100")["data"]
        pictures.append([shot["sha256"] for shot in shots][1:])  # the first is of what the run before left
    assert pictures[0] == pictures[1]
    listed = fresh.call("GET", "/v1/secrets").json()["data"]
    assert {row["last_used_run_id"] for row in listed} == {run_id}


def test_T_187_a_secret_for_another_host_is_not_typed(fresh: Fresh, address: str) -> None:
    secret(fresh, "elsewhere", value=PASSWORDS[0])
    fresh.call("PUT", "/v1/secrets/elsewhere", {"hosts": ["localhost", "*.example.com"]})
    Site.sent.clear()
    task = f'open {address}/\ntype the secret "elsewhere" into "Password"\nclick "Sign in"'
    body = {"machine_id": fresh.machine("browser"), "task": task, "human_in_the_loop": False, "agent": "playbook"}
    run_id = fresh.ok("POST", "/v1/runs", body)["id"]
    assert fresh.reaches(run_id, "succeeded", "failed", seconds=90)["state"] == "failed"
    events = fresh.call("GET", f"/v1/runs/{run_id}/events?format=json&limit=200").text
    assert "127.0.0.1 is not among its hosts" in events
    assert Site.sent == []
    _nowhere(fresh, PASSWORDS[0], events)


def _nowhere(fresh: Fresh, text: str, *answers: str) -> None:
    """Not in a row of the database, in a file of the installation or in what it printed, however it is spelled."""
    forms = [form for form in dict.fromkeys(spellings(text)) if len(form) > 3]
    with psycopg.connect(fresh.installation.database()) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            rows = connection.execute(f"SELECT t::text FROM {table} t").fetchall()
            assert not [form for form in forms for (row,) in rows if form in row], table
    for form in forms:
        assert form not in fresh.installation.said
        assert not [answer for answer in answers if form in answer]
    files = list(_files(fresh.folder))
    assert {"artifacts", "machines", "postgres.log"} <= {file.relative_to(fresh.folder).parts[0] for file in files}
    for file in files:
        content = file.read_bytes()
        assert not [form for form in forms if form.encode() in content], file


def _files(folder: Path) -> Iterator[Path]:
    """Everything that the product writes: not the database's own files, nor the home of a machine, which is the browser's."""
    for file in folder.rglob("*"):
        parts = file.relative_to(folder).parts
        if file.is_file() and not {"postgres", "home"} & set(parts):
            yield file
