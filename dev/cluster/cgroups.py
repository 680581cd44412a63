"""Control groups of the pods of one instance, on machines with version 1 and with version 2.

The kubelet does not create the root it is told to use, and nobody removes it: both is done here. Called by the
node; needs root.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from dev.cluster.instance import ClusterError

HIERARCHY = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "memory", "pids")


def is_version_2(hierarchy: Path = HIERARCHY) -> bool:
    """Whether the machine has the unified hierarchy only."""
    return (hierarchy / "cgroup.controllers").exists()


def roots(group: str, hierarchy: Path = HIERARCHY) -> list[Path]:
    """Directories of a group: one with version 2, one per mounted controller with version 1."""
    if is_version_2(hierarchy):
        return [hierarchy / group.lstrip("/")]
    controllers = (path for path in hierarchy.iterdir() if path.is_dir() and not path.is_symlink())
    return sorted(controller / group.lstrip("/") for controller in controllers)


def create(group: str, hierarchy: Path = HIERARCHY) -> None:
    """Create the group in every hierarchy with every processor and memory node allowed."""
    if is_version_2(hierarchy):
        available = (hierarchy / "cgroup.controllers").read_text().split()
        enabled = " ".join(f"+{name}" for name in CONTROLLERS if name in available)
        (hierarchy / "cgroup.subtree_control").write_text(enabled)
    for root in roots(group, hierarchy):
        root.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # version 1 starts a group with none
            if (root.parent / setting).exists() and not is_version_2(hierarchy):
                (root / setting).write_text((root.parent / setting).read_text())


def processes(group: str, hierarchy: Path = HIERARCHY) -> set[int]:
    """Processes in the group and below."""
    found: set[int] = set()
    for root in roots(group, hierarchy):
        for listing in root.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # groups come and go while containers end
                found.update(int(pid) for pid in listing.read_text().split())
    return found - {0}


def kill(group: str, seconds: float = 20) -> None:
    """Kill every process of the group and wait until it is empty; raises ClusterError if it does not get empty."""
    deadline = time.monotonic() + seconds
    while remaining := processes(group):
        for pid in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise ClusterError(f"processes of the pods do not end: {sorted(remaining)}")
        time.sleep(0.05)


def remove(group: str, hierarchy: Path = HIERARCHY) -> None:
    """Remove the empty group with everything below, deepest first."""
    for root in roots(group, hierarchy):
        below = sorted(root.rglob("*/"), key=lambda path: len(path.parts), reverse=True)
        for directory in [*below, root]:
            with contextlib.suppress(FileNotFoundError):
                directory.rmdir()
