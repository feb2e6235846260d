"""Small Hugging Face caches as huggingface_hub lays them out: blobs, snapshots of links, refs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

MAIN, OTHER = "a" * 40, "b" * 40
"""Commits."""


def cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that the variables of this process name."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(home))
    (home / "hub").mkdir(parents=True)
    return home / "hub"


def store(hub: Path, name: str, files: Mapping[str, str | bytes], commit: str = MAIN, ref: str = "main") -> Path:
    """Put a snapshot into a cache; its folder."""
    place = hub / f"models--{name.replace('/', '--')}"
    folder = place / "snapshots" / commit
    for file, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        blob = place / "blobs" / hashlib.sha256(data).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        link = folder / file
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path(*[".."] * (len(Path(file).parts) + 1), "blobs", blob.name))
    folder.mkdir(parents=True, exist_ok=True)
    if ref:
        (place / "refs" / ref).parent.mkdir(parents=True, exist_ok=True)
        (place / "refs" / ref).write_text(commit)
    return folder


def store_folder(hub: Path, name: str, folder: Path, *suffixes: str) -> Path:
    """Put the files of a folder into a cache, those with certain suffixes alone if some are given."""
    files = {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and (not suffixes or file.suffix in suffixes)
    }
    return store(hub, name, files)
