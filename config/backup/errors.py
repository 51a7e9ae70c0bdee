"""Why a backup or a restore was refused."""


class BackupError(Exception):
    """One sentence for the person at the terminal."""


class Damaged(BackupError):
    """The file is not what a backup wrote: cut short, changed, or not a backup at all."""
