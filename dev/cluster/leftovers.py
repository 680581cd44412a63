"""What an instance has on this machine right now, for the promise that going down leaves nothing.

Everything is found by looking at the machine and not by what the instance wrote down, so it finds as well what
the instance has forgotten. Tests call it; so does ``python -m dev.cluster leftovers``.
"""

from __future__ import annotations

import re
from pathlib import Path

from dev.cluster import cgroups, sandbox
from dev.cluster import instance as instances
from dev.cluster.process import command_line


def names() -> list[str]:
    """The instances of which there is any trace: a directory, or a process or mount that names one."""
    root = instances.state_root()
    texts = [text for pid in sandbox.all_pids() for text in command_line(pid)]
    texts += Path("/proc/self/mountinfo").read_text().split()
    named = re.compile(re.escape(f"{root}/") + f"({instances.NAME.pattern})(?=/|$)")
    found = {match[1] for text in texts for match in named.finditer(text)}
    return sorted(found | ({entry.name for entry in root.iterdir() if entry.is_dir()} if root.is_dir() else set()))


def of(name: str) -> list[str]:
    """One line per trace of the instance: processes, mounts, link, routes, control groups, directory.

    Bridges, packet filter tables and pods' namespaces exist only inside the sandbox: they live exactly as long as
    a process in it, and those are listed.
    """
    instance = instances.unnumbered(name)
    return [
        *_processes(instance),
        *_mounts(instance),
        *_links(instance),
        *(f"control group {root}" for root in cgroups.roots(instance.cgroup) if root.exists()),
        *([f"directory {instance.directory}"] if instance.directory.exists() else []),
    ]


def _processes(instance: instances.Instance) -> list[str]:
    inside = {*sandbox.members(instance), *cgroups.processes(instance.cgroup)}
    named = {pid for pid in sandbox.all_pids() if any(_mentions(instance, word) for word in command_line(pid))}
    return [f"process {pid}: {' '.join(command_line(pid))[:120]}" for pid in sorted(inside | named)]


def _mounts(instance: instances.Instance) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [f"mount {line.split()[4]}" for line in lines if _mentions(instance, line) or instance.link in line]


def _links(instance: instances.Instance) -> list[str]:
    link = [f"link {instance.link}"] if Path("/sys/class/net", instance.link).exists() else []
    routes = Path("/proc/net/route").read_text().splitlines()
    return [*link, *(f"route {line}" for line in routes if line.split()[0] == instance.link)]


def _mentions(instance: instances.Instance, text: str) -> bool:
    """Whether a text names the instance's directory or something in it, not one that merely starts alike."""
    start = text.find(str(instance.directory))
    return start >= 0 and text[start + len(str(instance.directory)) :][:1] in ("", "/", " ")
