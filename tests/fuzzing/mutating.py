"""Makes input number N of a kind: a seed, and what the laws do to its files."""

from __future__ import annotations

from pathlib import PurePosixPath
from random import Random
from typing import Any

import yaml

from tests.fuzzing.inputs import Files, Input, Seed
from tests.fuzzing.laws import archives, folders, texts, trees

_ARCHIVES = (".bin", ".pt", ".pt2", ".pth", ".ckpt")
_OUTS = (".svg", ".json", ".html", ".txt", ".dot")
_FORMATS = ("sarif", "github", "gitlab", "junit", "markdown", "json")
_YAML = 50_000
_TREES = (".json", ".yaml", ".yml")


def seed_name(names: list[str], seed: int, kind: str, number: int) -> str:
    """Which seed the input is made of: the first draw, so that only the seeds that are needed are built."""
    return _random(seed, kind, number).choice(names)


def mutate(name: str, one: Seed, seed: int, kind: str, number: int) -> Input:
    """The input; the same for the same numbers."""
    random = _random(seed, kind, number)
    random.random()
    files: folders.Tree = dict(one.files)
    trail: list[str] = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        known = sorted(path for path in one.foreign or one.files if isinstance(files.get(path), bytes))
        if not known:
            break
        near = random.choice(known)
        if random.random() < 0.12:
            law = random.choice(folders.LAWS)
            trail.append(f"{law.__name__}: {law(files, random, near)}")
        else:
            trail.append(near)
            content = files[near]
            assert isinstance(content, bytes)
            files[near] = _changed(near, content, random, trail)
    argv = _asked(one.argv, random)
    trail += [" ".join(argv)] if argv != one.argv else []
    return Input(f"{kind}:{number}", name, files, argv, tuple(trail))


def _asked(argv: tuple[str, ...], random: Random) -> tuple[str, ...]:
    """Now and then another command, or an output beside the terminal's."""
    if argv[0] != "trace":
        return argv
    draw = random.random()
    if draw < 0.15:
        return (*argv, "--out", f"../out/g{random.choice(_OUTS)}")
    if draw < 0.20:
        return ("check", *argv[1:], "--format", random.choice(_FORMATS), "--out", "../out/checked")
    if draw < 0.22:
        return ("fix", *argv[1:])
    return (*argv, "--train") if draw < 0.25 else argv


def _changed(near: str, content: bytes, random: Random, trail: list[str]) -> bytes:
    suffix = PurePosixPath(near).suffix
    if suffix == ".safetensors":
        return archives.safetensors_changed(content, random, trail)
    if suffix in _ARCHIVES:
        return archives.zip_changed(content, random, trail)
    if suffix in _TREES and random.random() < 0.9 and (tree := _tree(suffix, content)) is not None:
        return _written(suffix, trees.changed(tree, random, trail), random)
    law = random.choice(texts.BY_SUFFIX.get(suffix, texts.PLAIN))
    trail.append(law.__name__)
    return law(content, random)


def _tree(suffix: str, content: bytes) -> Any:
    """The data of a file; None for what an earlier law left unreadable."""
    if suffix == ".json":
        return trees.read(content)
    if b"*" in content or b"[" * 50 in content or len(content) > _YAML:
        return None  # aliases would be followed, and what is nested gone into
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def _written(suffix: str, tree: Any, random: Random) -> bytes:
    if suffix == ".json" or random.random() < 0.3:  # JSON is YAML
        return trees.written(tree)
    try:
        return yaml.safe_dump(tree, allow_unicode=random.random() < 0.5).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, ValueError):
        return trees.written(tree)


def _random(seed: int, kind: str, number: int) -> Random:
    return Random(f"{seed}:{kind}:{number}")


__all__ = ["Files", "mutate", "seed_name"]
