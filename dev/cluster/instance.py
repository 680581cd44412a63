"""One local cluster's name, directory, ports and address ranges.

Several clusters run side by side (a demo, one per test run), so everything that could collide is derived from
the instance: it is chosen once, written to ``instance.json`` and read again by every later command. Addresses
follow from a small index: host and node share a /30, pods and Services get a /16 each. Used by every module
of the cluster; nothing here starts anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import ipaddress
import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
MOST_INSTANCES = 16
FIRST_PORT, PORTS = 20000, 12000  # below the range the kernel takes ports for outgoing connections from
LONGEST_SOCKET_PATH = 107


class ClusterError(Exception):
    """Something the user can act on; the message says what. The command line prints it without a traceback."""


@dataclasses.dataclass(frozen=True)
class Ports:
    """TCP ports of the control plane on this machine."""

    api: int
    etcd: int
    etcd_peer: int


@dataclasses.dataclass(frozen=True)
class Instance:
    """Where one cluster lives: directory, ports and the addresses that follow from its index."""

    name: str
    directory: Path
    index: int
    ports: Ports

    @property
    def host_address(self) -> str:
        """This machine's end of the link to the node: what is bound to it can be reached from pods."""
        return f"10.208.{self.index}.1"

    @property
    def node_address(self) -> str:
        """The node's end of the link: kubelet, CoreDNS and metrics-server listen here."""
        return f"10.208.{self.index}.2"

    @property
    def service_cidr(self) -> str:
        """Range of ClusterIPs."""
        return f"10.{176 + self.index}.0.0/16"

    @property
    def pod_cidr(self) -> str:
        """Range of pod addresses."""
        return f"10.{192 + self.index}.0.0/16"

    @property
    def kubernetes_service_address(self) -> str:
        """ClusterIP of the Service ``kubernetes``: always the first of the range."""
        return str(ipaddress.ip_network(self.service_cidr)[1])

    @property
    def link(self) -> str:
        """Name of the host's end of the link, at most 15 characters as the kernel wants it."""
        return f"biospark{hashlib.sha256(str(self.directory).encode()).hexdigest()[:6]}"

    @property
    def cgroup(self) -> str:
        """Root of the pods' control groups, relative to each hierarchy."""
        return f"/biospark-{self.link.removeprefix('biospark')}"

    @property
    def node_name(self) -> str:
        """Name of the Node object."""
        return f"biospark-{self.name}"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig of the cluster's admin."""
        return self.directory / "admin.kubeconfig"

    @property
    def pki(self) -> Path:
        """Directory of keys and certificates."""
        return self.directory / "pki"

    @property
    def logs(self) -> Path:
        """Directory with one log file per component."""
        return self.directory / "logs"

    @property
    def containerd_socket(self) -> Path:
        """Socket of the node's container runtime."""
        return self.directory / "containerd.sock"

    @property
    def records(self) -> Path:
        """Directory with one record per running component, see ``process``."""
        return self.directory / "run"


def state_root() -> Path:
    """Directory of all instances: outside the checkout, so that cleaning one never breaks the other."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base).resolve() / "biospark-dev"


def cache_root() -> Path:
    """Directory of everything that was built once and is shared by all instances."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).resolve() / "biospark-dev"


def default_name() -> str:
    """The instance to use when none is named: ``$BIOSPARK_INSTANCE`` or ``dev``."""
    return os.environ.get("BIOSPARK_INSTANCE") or "dev"


def directory_of(name: str, provider: str = "") -> Path:
    """State directory of an instance; raises ClusterError for a name that cannot be one.

    Another `provider` than the local one keeps its few files apart, so that it never removes a local cluster's.
    """
    if not NAME.fullmatch(name):
        raise ClusterError(
            f"instance name {name!r}: use at most 32 lower-case letters, digits and '-' (BIOSPARK_INSTANCE)"
        )
    directory = state_root() / (f"{name}.{provider}" if provider else name)
    if len(str(directory / "containerd.sock")) > LONGEST_SOCKET_PATH:
        raise ClusterError(f"{directory} is too long for a socket path: point XDG_STATE_HOME to a shorter directory")
    return directory


def unnumbered(name: str) -> Instance:
    """The instance without its addresses and ports: enough to stop it, even when its file is damaged."""
    return Instance(name, directory_of(name), 0, Ports(0, 0, 0))


def load(name: str) -> Instance | None:
    """The instance as it was created, or None when there is none."""
    directory = directory_of(name)
    try:
        saved = json.loads((directory / "instance.json").read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ClusterError(f"{directory}/instance.json is damaged ({error}): run `down`, then `up` again") from None
    return Instance(name, directory, saved["index"], Ports(**saved["ports"]))


def load_or_create(name: str) -> Instance:
    """The instance, created with a free index and free ports when it is new."""
    if (existing := load(name)) is not None:
        return existing
    directory = directory_of(name)
    with locked(state_root()):
        index = _free_index()
        instance = Instance(name, directory, index, choose_ports(name))
        for path in (directory, instance.pki, instance.logs, instance.records):
            path.mkdir(mode=0o700, exist_ok=True)
        save(instance)
    return instance


def save(instance: Instance) -> None:
    """Write the instance down atomically: a crash leaves the old file or the new one."""
    content = {"index": instance.index, "ports": dataclasses.asdict(instance.ports)}
    target = instance.directory / "instance.json"
    temporary = target.with_suffix(".new")
    temporary.write_text(json.dumps(content, indent=1))
    temporary.replace(target)


@contextlib.contextmanager
def locked(directory: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the directory's lock: one command at a time works on an instance, one build at a time on a cache.

    The lock is on the directory itself, so nothing is left behind when it is removed. `waiting` is called when
    somebody else has it.
    """
    while True:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, FileExistsError):
            continue  # somebody removes it at this moment
        try:
            _lock(handle, waiting)
            if _is_still(directory, handle):  # it may have been removed while we waited for it
                yield
                return
        finally:
            os.close(handle)


def choose_ports(name: str) -> Ports:
    """Three free ports, the same ones for the same name unless somebody else has taken them."""
    start = int(hashlib.sha256(name.encode()).hexdigest(), 16) % PORTS
    promised = {port for saved in _saved() for port in saved["ports"].values()}
    candidates = (FIRST_PORT + (start + step) % PORTS for step in range(PORTS))
    free = (port for port in candidates if port not in promised and port_is_free(port))
    return Ports(next(free), next(free), next(free))


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port of this machine's loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _lock(handle: int, waiting: Callable[[], None]) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        waiting()
        fcntl.flock(handle, fcntl.LOCK_EX)


def _is_still(directory: Path, handle: int) -> bool:
    try:
        return directory.stat().st_ino == os.fstat(handle).st_ino
    except FileNotFoundError:
        return False


def _saved() -> list[Any]:
    """What all instances have written down, running or not; one that cannot be read holds nothing."""
    found = []
    for path in state_root().glob("*/instance.json"):
        with contextlib.suppress(OSError, ValueError):  # it may be going down at this moment
            found.append(json.loads(path.read_text()))
    return found


def _free_index() -> int:
    """The first index that no instance has and whose addresses no route of this machine covers."""
    taken = {saved["index"] for saved in _saved()}
    routed = _routed_networks()
    for index in range(MOST_INSTANCES):
        candidate = Instance("probe", Path("/"), index, Ports(0, 0, 0))
        ranges = (candidate.service_cidr, candidate.pod_cidr, f"{candidate.host_address}/32")
        if index not in taken and not any(
            ipaddress.IPv4Network(own).overlaps(other) for own in ranges for other in routed
        ):
            return index
    raise ClusterError(
        f"all {MOST_INSTANCES} address ranges are taken: stop an instance first (`python -m dev.cluster "
        f"down` with its BIOSPARK_INSTANCE; they are the directories in {state_root()})"
    )


def _routed_networks() -> list[ipaddress.IPv4Network]:
    """Destinations of this machine's IPv4 routes, without the default route."""
    try:
        lines = Path("/proc/net/route").read_text().splitlines()[1:]
    except FileNotFoundError:
        return []
    networks = []
    for line in lines:
        fields = line.split()
        address, mask = (int.from_bytes(bytes.fromhex(fields[i]), "little") for i in (1, 7))
        if mask:
            networks.append(ipaddress.IPv4Network((address, bin(mask).count("1"))))
    return networks
