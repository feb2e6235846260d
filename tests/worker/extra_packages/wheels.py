"""Small wheels and source archives, as an index would hold them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from zipfile import ZipFile

_METADATA = "Metadata-Version: 2.1\nName: {}\nVersion: {}\n{}"
_WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel(folder: Path, name: str, release: str, files: dict[str, str], needs: str = "") -> Path:
    """A wheel with these files beside its metadata."""
    info = f"{name}-{release}.dist-info"
    required = f"Requires-Dist: {needs}\n" if needs else ""
    whole = {
        **files,
        f"{info}/METADATA": _METADATA.format(name, release, required),
        f"{info}/WHEEL": _WHEEL,
    }
    lines = [f"{file},,\n" for file in (*whole, f"{info}/RECORD")]
    path = folder / f"{name}-{release}-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        for file, text in {**whole, f"{info}/RECORD": "".join(lines)}.items():
            archive.writestr(file, text)
    return path


def source(folder: Path, name: str, release: str, setup: str) -> Path:
    """A source archive whose setup.py is this."""
    path = folder / f"{name}-{release}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in (("setup.py", setup), ("PKG-INFO", _METADATA.format(name, release, ""))):
            entry = tarfile.TarInfo(f"{name}-{release}/{file}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path
