"""Image storage and builds with buildah, without a daemon and without a registry.

The storage lies in the cache and is shared by all instances, so an image is built once per content. `baseimage`
makes the first image in it, `images` the ones of this project.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dev.cluster import packages
from dev.cluster.instance import ClusterError, cache_root

PROGRESS_SECONDS = 15


def directory() -> Path:
    """Directory of the image storage."""
    return cache_root() / "images"


def buildah(*arguments: str) -> str:
    """Run buildah on the storage and return what it prints; raises ClusterError with its last lines."""
    answer = subprocess.run(_command(arguments), env=_environment(), capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ClusterError(_explained(arguments[0], answer.stderr or answer.stdout))
    return answer.stdout.strip()


def watched(command: Sequence[str], what: str, log: Path, report: Callable[[str], None]) -> None:
    """Run something that takes long with its output in `log`, and report that it is still at work."""
    begin = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        work = subprocess.Popen(command, env=_environment(), stdout=output, stderr=subprocess.STDOUT)
        try:
            while _still_runs(work):
                report(f"  {what}: {time.monotonic() - begin:.0f} s")
        except BaseException:
            work.terminate()
            work.wait()
            raise
    if work.returncode:
        raise ClusterError(f"{_explained(what, log.read_text(errors='replace'))}\nThe whole log is {log}")


def build_command(*arguments: str) -> list[str]:
    """Command line of a buildah subcommand on the storage, for `watched`."""
    return _command(arguments)


def exists(reference: str) -> bool:
    """Whether the storage has the image."""
    command = _command(("inspect", "--type=image", reference))
    return subprocess.run(command, env=_environment(), capture_output=True, check=False).returncode == 0


def forget_old(repository: str, keep: int) -> None:
    """Remove all but the newest `keep` images of a repository from the storage."""
    found = json.loads(buildah("images", "--json", f"--filter=reference={repository}") or "[]")
    newest_first = sorted(found, key=lambda image: int(image["created"]), reverse=True)
    for image in newest_first[keep:]:
        buildah("rmi", "--force", image["id"])


def _command(arguments: Sequence[str]) -> list[str]:
    program = packages.which("buildah") or "buildah"
    storage = directory()
    roots = [f"--root={storage}/storage", f"--runroot={storage}/run", "--storage-driver=overlay"]
    return [program, *roots, *arguments]


def _environment() -> dict[str, str]:
    """Isolation by chroot works where containers in containers would not."""
    return {**os.environ, "BUILDAH_ISOLATION": "chroot", "PATH": packages.administrator_path()}


def _still_runs(work: subprocess.Popen[bytes]) -> bool:
    try:
        work.wait(PROGRESS_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _explained(what: str, output: str) -> str:
    tail = "\n".join(f"  | {line}" for line in output.strip().splitlines()[-20:])
    return f"{what} failed. Its last lines:\n{tail}"
