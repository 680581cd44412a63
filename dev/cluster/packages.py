"""Programs of the operating system that a node, image builds and a PostgreSQL server need.

On Debian as root the missing packages are installed; elsewhere the message names what is missing. Called before
a node or server is started and before an image is built.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from dev.cluster.instance import ClusterError

# The Debian package that brings each program. Plugins of the container network and PostgreSQL are not in PATH.
NODE = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
IMAGES = {"buildah": "buildah", "debootstrap": "debootstrap"}
POSTGRES = {"postgresql/15/bin/postgres": "postgresql-15", "unshare": "util-linux"}
CNI_DIRECTORIES = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
ADMIN_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
NO_SERVICES = Path("/usr/sbin/policy-rc.d")


def ensure(needed: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Make the programs available; raises ClusterError naming the packages where that is not possible."""
    missing = missing_packages(needed)
    if not missing:
        return
    names = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(f"these packages are missing (names as in Debian): {names}. Install them and try again")
    report(f"Installing system packages: {names}")
    with _no_services_started():
        _apt("update")
        _apt("install", "--yes", "--no-install-recommends", *missing)
    if still := missing_packages(needed):
        raise ClusterError(f"after installing {names}, programs of {' '.join(still)} are still missing")


def wheel(package: str, what: str) -> Path:
    """Return the folder of a program that came as a Python package; raises ClusterError naming `what` is missing."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ClusterError(f"the wheel with {what} is missing: run `make tools`")
    return Path(found.origin).parent


def missing_packages(needed: Mapping[str, str]) -> list[str]:
    """Packages of the programs that are not there, sorted."""
    return sorted({package for program, package in needed.items() if not present(program)})


def present(program: str) -> bool:
    """Whether a program can be run."""
    if program.startswith("cni/"):
        return cni_directory() is not None
    if program.startswith("postgresql/"):
        return Path("/usr/lib", program).exists()
    return which(program) is not None


def which(program: str) -> str | None:
    """Path of a program, also where PATH lacks the directories of the administrator."""
    return shutil.which(program, path=administrator_path())


def administrator_path() -> str:
    """PATH with the directories of the administrator, which a root shell may lack."""
    return f"{os.environ.get('PATH', '')}:{ADMIN_PATH}"


def cni_directory() -> Path | None:
    """Where the distribution keeps the plugins of the container network."""
    found = (directory for directory in CNI_DIRECTORIES if (directory / "bridge").exists())
    return next(found, None)


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    command: Sequence[str] = ("apt-get", "-qq", *arguments)
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed:\n{answer.stderr.strip() or answer.stdout.strip()}")


@contextmanager
def _no_services_started() -> Iterator[None]:
    """Keep Debian from starting the packages' own services: the cluster runs its own containerd."""
    if NO_SERVICES.exists():
        yield
        return
    NO_SERVICES.write_text("#!/bin/sh\nexit 101\n")
    NO_SERVICES.chmod(0o755)
    try:
        yield
    finally:
        NO_SERVICES.unlink(missing_ok=True)
