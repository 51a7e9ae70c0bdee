"""The passphrase of a backup: asked for at the terminal, or from the environment; never an argument, which others could read."""

import getpass
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from config.backup.errors import BackupError

LEAST = 12  # characters
KEY_BYTES = 32


def passphrase(*, new: bool) -> str:
    """BACKUP_PASSPHRASE, else the first line of BACKUP_PASSPHRASE_FILE, else what is typed; `new` ones are typed twice.

    Raises BackupError when there is none, or when a new one is shorter than LEAST characters.
    """
    words = _from_environment() or _typed(new)
    if new and len(words) < LEAST:
        raise BackupError(f"The passphrase has {len(words)} characters; it needs at least {LEAST}.")
    return words


def _from_environment() -> str:
    words = os.environ.get("BACKUP_PASSPHRASE", "")
    path = os.environ.get("BACKUP_PASSPHRASE_FILE", "")
    if words or not path:
        return words
    try:
        return Path(path).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(f"BACKUP_PASSPHRASE_FILE cannot be read: {error}") from error


def _typed(new: bool) -> str:
    if not sys.stdin.isatty():
        raise BackupError("A passphrase is needed: set BACKUP_PASSPHRASE or BACKUP_PASSPHRASE_FILE.")
    words = getpass.getpass("Passphrase of the backup: ")
    if new and getpass.getpass("Once more: ") != words:
        raise BackupError("The two passphrases differ.")
    return words


def key_of(words: str, salt: bytes) -> bytes:
    """The key that seals one file: scrypt with 64 MiB (RFC 7914), fixed here so that no file can ask for more."""
    return Scrypt(salt=salt, length=KEY_BYTES, n=2**16, r=8, p=1).derive(words.encode())
