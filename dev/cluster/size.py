"""How much of a cluster to start, and which size this machine is able to run."""

from __future__ import annotations

import enum
import os
import sys


class Size(enum.Enum):
    """Size of a cluster; the value is what the command line calls it."""

    CONTROL_PLANE = "control-plane"
    NODE = "node"


def missing_for_node() -> str:
    """What this machine lacks for a node, in words; empty when it lacks nothing."""
    if sys.platform != "linux":
        return f"a node needs Linux, this is {sys.platform}"
    return "" if os.geteuid() == 0 else "a node needs root: containers, network namespaces and mounts"
