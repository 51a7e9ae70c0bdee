"""Chromium out of the npm package @sparticuz/chromium: unpacked, and how it is started where it then lies.

Beside the program lie the files of SwiftShader, which it draws with and looks for there; libraries that bare computers lack;
and fonts, without which a page has no letters.
"""

import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

from machines.drivers.terminal import screen_cells
from machines.tools.npm import Npm, run

_UNBROTLI = (
    "const fs = require('fs'), z = require('zlib'), s = require('stream');"
    "s.pipeline(fs.createReadStream(process.argv[1]), z.createBrotliDecompress(),"
    " fs.createWriteStream(process.argv[2]), error => { if (error) throw error; });"
)
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir prefix="relative">fonts</dir>
  <alias><family>sans-serif</family><default><family>Open Sans</family></default></alias>
  <alias><family>monospace</family><default><family>DejaVu Sans Mono</family></default></alias>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
"""


def unpack(archive: Path, folder: Path, npm: Npm) -> None:
    """Make `folder` from the package's archive."""
    _untar(archive, folder)
    inside = folder / "package"
    _unbrotli(npm, inside / "bin/chromium.br", folder / "headless_shell")
    (folder / "headless_shell").chmod(0o755)
    for name in ("swiftshader", "al2023", "fonts"):
        _unbrotli(npm, inside / f"bin/{name}.tar.br", folder / f"{name}.tar")
        _untar(folder / f"{name}.tar", folder)
        (folder / f"{name}.tar").unlink()
    for font in screen_cells.FONTS.glob("*.ttf"):
        shutil.copy(font, folder / "fonts" / font.name)
    (folder / "fonts.conf").write_text(_FONTS, encoding="utf-8")
    shutil.copy(inside / "LICENSE", folder / "LICENSE")
    shutil.rmtree(inside)


def _untar(archive: Path, folder: Path) -> None:
    """Everything becomes ours, also when root unpacks what somebody of number 1001 has packed.

    Python 3.11.2 and 3.11.3 know no filters; the hash of what is unpacked was looked at before.
    """
    guarded: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
        tar.extractall(folder, **guarded)  # noqa: S202


def _unbrotli(npm: Npm, source: Path, target: Path) -> None:
    run([npm.node, "-e", _UNBROTLI, str(source), str(target)], target.parent)


def environment(folder: Path) -> dict[str, str]:
    """What the program needs to be told to find its own libraries and fonts."""
    return {"LD_LIBRARY_PATH": str(folder / "lib"), "FONTCONFIG_FILE": str(folder / "fonts.conf")}
