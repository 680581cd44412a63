"""Scores the manifests of chart and environments with kube-score, for `make lint`.

The golden files are what is scored: tests keep them equal to what is made. `_DELIBERATE` has what a public scanner
finds and we mean; pods of Helm's tests run for seconds and are left out.

`python -m dev.score` prints what is wrong and exits with 1 where anything is.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dev.cluster import programs

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
FILES = [
    *(GOLDEN / "chart" / f"{name}.yaml" for name in ("default", "everything")),
    *(GOLDEN / "components" / f"{name}.yaml" for name in ("development", "staging", "production", "everything")),
]
_DELIBERATE = (
    # Images are pinned by version or digest: pulled again they are the same, and a registry that is away stops no pod.
    "container-image-pull-policy",
    # A replica of Development is one that may be away; the others have a budget by profile.
    "deployment-replicas",
    "deployment-has-poddisruptionbudget",
    "deployment-has-host-podantiaffinity",
)


def manifests(file: Path) -> Iterator[Any]:
    """Yield the objects of a file that are scored."""
    for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        if document and "helm.sh/hook" not in (document["metadata"].get("annotations") or {}):
            yield document


def findings(file: Path) -> list[str]:
    """Return what is critical about the objects of a file."""
    # No limit of processor time: throttling would delay the renewal of the Lease, and with it all environments.
    ignored = [f"--ignore-test={name}" for name in _DELIBERATE]
    command = [
        str(programs.path("kube-score")),
        "score",
        "--output-format=ci",
        "--ignore-container-cpu-limit",
        *ignored,
        "-",
    ]
    text = yaml.safe_dump_all(list(manifests(file)))
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"kube-score failed on {file.name}: {done.stderr or done.stdout}")
    return [line for line in done.stdout.splitlines() if line.startswith(("[CRITICAL]", "[WARNING]"))]


def main() -> None:
    """Print what was found; exit with 1 where that is anything."""
    found = [f"{file.parent.name}/{file.name}: {line}" for file in FILES for line in findings(file)]
    print("\n".join(found) or f"{len(FILES)} sets of manifests are as kube-score wants them")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
