"""The installation's secret key: made once, kept in the data folder, readable by its owner only."""

import contextlib
import os
import secrets
from pathlib import Path
from tempfile import NamedTemporaryFile


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
    with NamedTemporaryFile("w", dir=path.parent, prefix=".secret-key.") as file:  # only its owner may read it
        file.write(secrets.token_urlsafe(64))
        file.flush()
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)
