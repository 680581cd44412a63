"""What a Dockerfile's result depends on: which files of the context it copies, and a hash over them.

Images are built again only when this hash changes, and it is their tag, so a pod that names it runs exactly
this content. Pure apart from reading files; used by `images`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from dev.cluster.instance import ClusterError

GENERATED = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
TAG_LENGTH = 12


def content_tag(dockerfile: Path, context: Path, arguments: Mapping[str, str]) -> str:
    """Twelve hex digits that stand for the Dockerfile, the files it copies and the build arguments."""
    digest = hashlib.sha256(dockerfile.read_bytes())
    digest.update(json.dumps(sorted(arguments.items())).encode())
    for file in copied_files(dockerfile.read_text(), context):
        mode = file.stat().st_mode & 0o111
        digest.update(f"\0{file.relative_to(context)}\0{mode}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:TAG_LENGTH]


def copied_files(dockerfile: str, context: Path) -> list[Path]:
    """Files of the context that COPY and ADD take, without what tools generate; raises ClusterError for none."""
    found: set[Path] = set()
    for pattern in copied_patterns(dockerfile):
        matches = [context] if pattern in (".", "./") else list(context.glob(pattern.strip("/")))
        if not matches:
            raise ClusterError(f"the Dockerfile copies {pattern!r}, but {context} has no such file")
        found.update(file for match in matches for file in _files(match))
    return sorted(found)


def copied_patterns(dockerfile: str) -> Iterator[str]:
    """Sources of COPY and ADD that come from the context, not from another stage or a URL."""
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    for instruction in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        keyword, _, rest = instruction.strip().partition(" ")
        if keyword.upper() not in ("COPY", "ADD"):
            continue
        words = shlex.split(rest) if "[" not in rest else _json_words(rest)
        flags = [word for word in words if word.startswith("--")]
        if any(flag.startswith("--from=") for flag in flags):
            continue
        yield from (word for word in words[len(flags) : -1] if "://" not in word)


def _json_words(rest: str) -> list[str]:
    flags, _, array = rest.partition("[")
    return [*flags.split(), *json.loads(f"[{array}")]


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    for child in path.iterdir() if path.is_dir() and not path.is_symlink() else ():
        if child.name not in GENERATED and not child.name.startswith(".venv") and child.name != ".git":
            yield from _files(child)
