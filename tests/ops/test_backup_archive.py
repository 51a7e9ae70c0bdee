"""What a backup may hold. One that holds anything else is refused before anything of the place is touched."""

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from config.backup import sealed
from config.backup.archive import DEEPEST, LONGEST_NAME, MANIFEST, PIECE, Entry, Writer, entries
from config.backup.errors import BackupError, Damaged
from config.backup.restoring import check, require_not_newer, stage
from config.backup.sealed import SealedReader, SealedWriter
from config.backup.trees import Planting, Tree
from tests.ops.backups import KEY_OF, MACHINE, WORDS, Fill, add, manifest, write

LINK, HARD, DEVICE, PIPE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE
HOME = f"machines/{MACHINE}/home"
HOSTILE: dict[str, Fill] = {
    "absolute": lambda tar: add(tar, "/etc/cron.d/x", b"x"),
    "upwards": lambda tar: add(tar, f"{HOME}/../../../secret-key", b"x"),
    "a dot": lambda tar: add(tar, "artifacts/./x", b"x"),
    "an empty part": lambda tar: add(tar, "artifacts//x", b"x"),
    "elsewhere": lambda tar: add(tar, "secret-key", b"x"),
    "the tools": lambda tar: add(tar, "tools/chromium", b"x"),
    "the database's files": lambda tar: add(tar, "postgres/pg_hba.conf", b"x"),
    "a link among pictures": lambda tar: add(tar, "artifacts/x", type=LINK, linkname="/etc/passwd"),
    "the folder of a place as a link": lambda tar: add(tar, "machines", type=LINK, linkname="/etc"),
    "a machine as it is never called": lambda tar: add(tar, "machines/..x/home/y", b"x"),
    "a home that leads out": lambda tar: add(tar, HOME, type=LINK, linkname="/"),
    "the folder of a machine as a link": lambda tar: add(tar, f"machines/{MACHINE}", type=LINK, linkname="/etc"),
    "what is no home of a machine": lambda tar: add(tar, f"machines/{MACHINE}/run/x", b"x"),
    "a hard link": lambda tar: add(tar, f"{HOME}/x", type=HARD, linkname="/etc/shadow"),
    "a device": lambda tar: add(tar, f"{HOME}/x", type=DEVICE, devmajor=1),
    "a pipe": lambda tar: add(tar, f"{HOME}/x", type=PIPE),
    "a sparse file": lambda tar: add(tar, f"{HOME}/x", pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    "a table with a hostile name": lambda tar: add(tar, 'database/x";drop/000000', b"x"),
    "a part of a table that is too large": lambda tar: add(tar, "database/runs_run/000000", bytes(PIECE + 1)),
    "two manifests": lambda tar: add(tar, "manifest.json", manifest().dump()),
    "folders without end": lambda tar: add(tar, f"{HOME}/{'x/' * DEEPEST}y", b"x"),
    "a name without end": lambda tar: add(tar, f"{HOME}/{'x' * 5000}", b"x"),
    "a header that fills the memory": lambda tar: add(tar, "artifacts/x", pax_headers={"comment": "x" * 30_000_000}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _one_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealed, "key_of", KEY_OF)
    monkeypatch.setattr(os, "urandom", lambda n: b"s" * n)


@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_backup_holds_is_refused(what: str, tmp_path: Path) -> None:
    source = write(tmp_path / "file", HOSTILE[what])
    with pytest.raises(Damaged):
        check(source, WORDS, print)


def test_one_with_all_that_a_backup_holds_is_accepted(tmp_path: Path) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        add(tar, "database/runs_run/000000", b"row\n")
        add(tar, "artifacts/pictures/ab/cd.png", b"png")
        add(tar, f"{HOME}/to", type=LINK, linkname="/etc")
        add(tar, f"{HOME}/\udcff", b"a name that is no text")
        add(tar, HOME, type=tarfile.DIRTYPE, mode=0o755)

    checked = check(write(tmp_path / "file", fill), WORDS, print)
    assert (checked.files, checked.rows) == (4, 4)


@pytest.mark.parametrize(
    ("public", "sentence"),
    [
        ({"format": 2}, "newer version"),
        ({"version": "9.9.9", "migrations": [["runs", "9999_of_the_future"]]}, r"newer version \(9.9.9; this one is"),
        ({"migrations": "x"}, "cannot be read"),
        ({"format": []}, "cannot be read"),
    ],
)
def test_a_newer_version_is_refused_without_a_passphrase(
    tmp_path: Path, public: dict[str, object], sentence: str
) -> None:
    with pytest.raises(BackupError, match=sentence):
        require_not_newer(write(tmp_path / "file", **public))


def test_what_is_no_backup_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"PK\3\4 something else")
    with pytest.raises(Damaged, match="not a backup"):
        require_not_newer(tmp_path / "file")
    with pytest.raises(BackupError, match="cannot be read"):
        require_not_newer(tmp_path / "missing")


BEHIND: dict[str, Fill] = {
    "behind a link": lambda tar: (add(tar, f"{HOME}/a", type=LINK, linkname="/tmp"), add(tar, f"{HOME}/a/x", b"x")),
    "a link behind a link": lambda tar: (
        add(tar, f"{HOME}/a", type=LINK, linkname="."),
        add(tar, f"{HOME}/a/x", type=LINK, linkname="/etc"),
    ),
    "a folder in place of a link": lambda tar: (
        add(tar, f"{HOME}/a", type=LINK, linkname="/tmp"),
        add(tar, f"{HOME}/a", type=tarfile.DIRTYPE, mode=0o777),
    ),
    "two of one name": lambda tar: (add(tar, f"{HOME}/a", b"1"), add(tar, f"{HOME}/a", b"2")),
    "a file that a link names": lambda tar: (
        add(tar, f"{HOME}/a", type=LINK, linkname="/tmp/made-by-a-restore"),
        add(tar, f"{HOME}/a", b"2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BEHIND)
def test_nothing_is_written_through_a_link(what: str, tmp_path: Path) -> None:
    source = write(tmp_path / "file", BEHIND[what])
    outside = set(Path("/tmp").glob("made-by-a-restore")) | set(Path("/tmp").glob("x"))
    with pytest.raises(Damaged, match=r"behind a link|two things of one name"):
        stage(tmp_path / "stage", source, WORDS, print)
    assert set(Path("/tmp").glob("made-by-a-restore")) | set(Path("/tmp").glob("x")) == outside


# --- folders that somebody else is changing


def plant(root: Path, tree: Tree) -> None:
    planting = Planting(root)
    for entry, content in tree.walk():
        planting.put(entry, content or io.BytesIO())
    planting.close()


def test_a_home_comes_back_as_it_was(tmp_path: Path) -> None:
    home = tmp_path / "one" / "home"
    (home / "deep" / "er").mkdir(parents=True)
    (home / "deep" / "er" / "file").write_bytes(b"content" * 1000)
    (home / "run.sh").write_text("#!/bin/sh\n")
    (home / "run.sh").chmod(0o750)
    (home / "deep").chmod(0o500)
    (home / "to").symlink_to("/etc/passwd")
    (home / "nowhere").symlink_to("missing")
    (home / os.fsdecode(b"\xff\xfe")).write_text("bytes")
    os.mkfifo(home / "pipe")
    (tmp_path / "one" / "run").mkdir()
    (tmp_path / "one" / "run" / "socket").touch()
    tree = Tree(tmp_path / "one", "machines", (MACHINE,), only=("home",))
    plant(tmp_path / "stage", tree)
    back = tmp_path / "stage" / "machines" / MACHINE
    assert [entry.name for entry in back.iterdir()] == ["home"]
    assert (back / "home/deep/er/file").read_bytes() == b"content" * 1000
    assert stat.S_IMODE((back / "home/run.sh").stat().st_mode) == 0o750
    assert stat.S_IMODE((back / "home/deep").stat().st_mode) == 0o700
    assert str((back / "home/to").readlink()) == "/etc/passwd"
    assert str((back / "home/nowhere").readlink()) == "missing"
    assert (back / "home" / os.fsdecode(b"\xff\xfe")).read_text() == "bytes"
    assert (back / "home/run.sh").stat().st_mtime == (home / "run.sh").stat().st_mtime
    assert not (back / "home/pipe").exists()
    assert tree.left_out == 0


def test_a_folder_that_becomes_a_link_leads_nowhere(tmp_path: Path) -> None:
    """The machine swaps a folder for a link between the moment it is listed and the moment it is opened."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("of the host")
    home = tmp_path / "home"
    (home / "a").mkdir(parents=True)
    (home / "a" / "file").write_text("x")
    (home / "z").write_text("x")
    seen = []
    for entry, _ in Tree(home, "artifacts").walk():
        seen.append("/".join(entry.parts))
        if (home / "a").is_dir() and not (home / "a").is_symlink():
            (home / "a").rename(tmp_path / "was")
            (home / "a").symlink_to(secret)
    assert seen == ["z"]


def test_folders_without_end_are_left_out_and_counted(tmp_path: Path) -> None:
    at = tmp_path
    for _ in range(3 * DEEPEST):
        at /= "d"
        at.mkdir()
    (tmp_path / "file").write_text("x")
    tree = Tree(tmp_path, "artifacts")
    names = [entry.parts for entry, _ in tree.walk()]
    assert ("file",) in names
    assert max(map(len, names)) < DEEPEST
    assert tree.left_out == 1


def test_folders_of_long_names_do_not_spoil_a_backup(tmp_path: Path) -> None:
    """A machine that nests them would else make the whole backup one that no restore takes."""
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("d" * 250, dir_fd=at)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    tree = Tree(tmp_path, "artifacts")
    names = ["/".join(("artifacts", *entry.parts)) for entry, _ in tree.walk()]
    assert max(map(len, names)) <= LONGEST_NAME
    assert (len(names), tree.left_out) == (16, 1)


def test_a_file_of_holes_is_left_out(tmp_path: Path) -> None:
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(2**40)
    tree = Tree(tmp_path, "artifacts")
    assert list(tree.walk()) == []
    assert tree.left_out == 1


def test_a_file_that_shrinks_while_it_is_read_keeps_its_place(tmp_path: Path) -> None:
    growing, shrinking = tmp_path / "growing", tmp_path / "shrinking"
    growing.write_bytes(b"1234")
    shrinking.write_bytes(b"1234")
    with (tmp_path / "file").open("wb") as file:
        writer = Writer(SealedWriter(file, WORDS, {}))
        writer.put(MANIFEST, manifest().dump())
        for path, after in ((growing, b"123456"), (shrinking, b"12")):
            with path.open("rb") as content:
                path.write_bytes(after)
                writer.put_entry(Entry("artifacts", (path.name,), "file", 4), content)
        writer.close()
    with (tmp_path / "file").open("rb") as file:
        read = {entry.parts: content.read(10) for entry, content in entries(SealedReader(file, WORDS))}
    assert (read["growing",], read["shrinking",]) == (b"1234", b"12\0\0")
