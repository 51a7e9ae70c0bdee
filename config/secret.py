"""The installation's secret key: made once, kept in the data folder, readable by its owner only."""

import contextlib
import os
import secrets
from pathlib import Path


def secret_key(data_dir: Path) -> str:
    """The key in `data_dir/secret-key`; made when there is none. Two first starts at once end with one key."""
    path = data_dir / "secret-key"
    try:
        if not path.exists():
            _make(path)
        return path.read_text().strip()
    except OSError as error:
        raise SystemExit(f"The data folder {data_dir} cannot be used ({error.strerror}): set DATA_DIR.") from error


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f"secret-key.{os.getpid()}")
    own.touch(mode=0o600)
    own.write_text(secrets.token_urlsafe(64))
    with contextlib.suppress(FileExistsError):
        os.link(own, path)
    own.unlink()
