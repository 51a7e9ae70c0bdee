"""config.settings with a throw-away data folder. Workers of xdist and child processes inherit it by environment."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def in_memory() -> str | None:
    """A file system in memory where programs may be started, if there is room: what the tests write is for nothing."""
    at = "/dev/shm"
    if not os.access(at, os.W_OK):
        return None
    found = os.statvfs(at)
    roomy = found.f_bavail * found.f_frsize > 4 * 2**30
    return at if roomy and not found.f_flag & os.ST_NOEXEC else None


if "DATA_DIR" not in os.environ:
    folder = Path(tempfile.mkdtemp(prefix="countersign-test-", dir=in_memory()))
    folder.chmod(0o711)  # PostgreSQL, which root must start as another user, passes through it
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["DATA_DIR"] = str(folder)
if not os.environ.get("DATABASE_URL"):
    os.environ["DATABASE_URL"] = f"postgresql://app@/postgres?host={os.environ['DATA_DIR']}/postgres"
    os.environ["COUNTERSIGN_TEST_SERVER"] = os.environ["DATA_DIR"]  # tests/conftest.py starts it

if "TOOLS_DIR" not in os.environ:  # kept from one run of the tests to the next
    os.environ["TOOLS_DIR"] = str(Path(__file__).resolve().parent.parent / ".tools")

for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "MODEL_BASE_URL", "DEFAULT_AGENT"):
    os.environ.pop(name, None)  # a developer's own: no test may ask a vendor

from config.settings import *  # noqa: E402, F403

# Workers of xdist have pictures of their own: each remembers what it stored, and some tests remove files.
PICTURES = DATA_DIR / "artifacts" / os.environ.get("PYTEST_XDIST_WORKER", "")  # noqa: F405
STORAGES = {
    **STORAGES,  # noqa: F405
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": PICTURES}},
}
WHITENOISE_AUTOREFRESH = True  # else each new test client lists every static file
PASSWORD_HASHERS = ["tests.hashing.QuickArgon2"]
