"""An installation as docs/operations.md describes it has nothing that Django's deployment checks object to."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from tests.ops.test_up import ROOT

SET = dict(
    re.findall(
        r"^([A-Z_]+)=(\S+)$", (ROOT / "docs" / "operations.md").read_text().partition("## Start")[2], re.MULTILINE
    )
)
NEEDED = {
    "clone",
    "mount",
    "umount2",
    "pivot_root",
    "sethostname",
    "setns",
    "prctl",
    "seccomp",
    "landlock_restrict_self",
}
CLOSED = {
    "bpf",
    "keyctl",
    "userfaultfd",
    "io_uring_setup",
    "init_module",
    "kexec_load",
    "perf_event_open",
    "open_by_handle_at",
}


def test_the_documented_settings_pass_the_deployment_checks(tmp_path: Path) -> None:
    assert {"ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "TLS_PROXY", "HSTS_SECONDS", "ALLOW_SCRIPTED_LIVE"} <= set(SET)
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "DATABASE_URL") if name in os.environ} | SET
    environment |= {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, str(ROOT / "manage.py"), "check", "--deploy", "--fail-level", "WARNING"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "0 silenced" not in done.stdout


@pytest.fixture
def behind_proxy(settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics|version)$"]
    settings.SECURE_HSTS_SECONDS = 3600


@pytest.mark.django_db
def test_behind_a_proxy_http_is_sent_on_and_watchers_are_not(behind_proxy: None) -> None:
    client = Client()
    sent = client.get("/sign-in")
    assert (sent.status_code, sent["Location"]) == (301, "https://testserver/sign-in")
    assert client.get("/healthz").status_code == 200
    come = client.get("/sign-in", headers={"X-Forwarded-Proto": "https"})
    assert come.status_code == 200
    assert come["Strict-Transport-Security"] == "max-age=3600"


def test_containers_are_confined_by_a_profile_of_ours() -> None:
    text = (ROOT / "compose.yaml").read_text()
    [name] = re.findall(r"seccomp:(\S+)", text)
    profile = json.loads((ROOT / name).read_text())
    refused = {
        word
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ERRNO" and "args" not in rule
        for word in rule["names"]
    }
    assert refused >= CLOSED
    assert not refused & NEEDED
    assert len(refused) > 40
