"""Shares one local cluster among the parallel workers of a test run, and takes it down with the last of them.

A cluster that was running before the run is used and left as it was.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.cluster import Cluster, Size
from dev.cluster.size import missing_for_node


def require_node() -> None:
    """Skip the test where there can be no node; continuous integration must not miss it, so there it fails."""
    if missing := missing_for_node():
        message = f"no node on this machine: {missing}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)


@contextmanager
def shared(instance: str, size: Size) -> Iterator[Cluster]:
    """Yield the cluster `instance`, brought up by the first user and taken down by the last one of this run.

    Each version of Kubernetes that ``$KUBERNETES`` chooses has one of its own.
    """
    if version := os.environ.get("KUBERNETES"):
        instance = f"{instance}-{version.replace('.', '-')}"
    cluster = Cluster.for_instance(instance)
    users = Path(tempfile.gettempdir()) / f"biospark-tests-{os.getuid()}-{instance}.users"
    with _counted(users) as (others, _):
        if not others:
            users.with_suffix(".keep").unlink(missing_ok=True)
            if cluster.status():
                users.with_suffix(".keep").touch()
        # Also for those who come later: it does nothing where everything runs.
        cluster.up(size)
    try:
        yield cluster
    finally:
        with _counted(users, leave=True) as (others, keep):
            if not others and not keep:
                cluster.down()


@contextmanager
def _counted(users: Path, *, leave: bool = False) -> Iterator[tuple[set[int], bool]]:
    """Enter or leave the list of processes that use the cluster, under a lock; yields the living others."""
    with users.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        others = {int(pid) for pid in file.read().split() if pid != str(os.getpid()) and Path(f"/proc/{pid}").exists()}
        yield others, users.with_suffix(".keep").exists()
        file.truncate(0)
        file.write(" ".join(str(pid) for pid in (others if leave else others | {os.getpid()})))
