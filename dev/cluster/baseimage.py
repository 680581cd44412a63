"""The image that the project's own images are built on, made of packages instead of being pulled.

The Dockerfiles take their base as an argument. Locally it is a minimal Debian with Python, put together by
debootstrap from the mirror this machine is configured for. Made once; `images` asks for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from dev.cluster import store
from dev.cluster.instance import ClusterError

PACKAGES = ("python3", "python3-venv", "ca-certificates", "tzdata")
# What no container reads: the package manager's downloads and documentation are a third of the size.
UNWANTED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")
REPOSITORY = "localhost/biospark-python-base"
USUAL_SECONDS = 60


def ensure(report: Callable[[str], None]) -> str:
    """Reference of the base image, made first when it is missing. The caller holds the lock of the storage."""
    mirror, suite = source()
    recipe = " ".join([suite, platform.machine(), *PACKAGES, *UNWANTED])
    reference = f"{REPOSITORY}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    if not store.exists(reference):
        report(f"Making the base image from {suite} packages (once; usually {USUAL_SECONDS} s)")
        _make(reference, suite, mirror, report)
    return reference


def source() -> tuple[str, str]:
    """Mirror and release of the packages: the ones this machine is configured for, else Debian's default."""
    if not shutil.which("apt-get"):
        return "", "stable"
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    return chosen_source(listing.stdout, _codename())


def chosen_source(listing: str, codename: str) -> tuple[str, str]:
    """The mirror of release `codename` out of lines of ``uri codename component``."""
    for line in listing.splitlines():
        uri, release, component = line.split()
        if release == codename and component == "main":
            return uri, release
    return "", codename or "stable"


def _make(reference: str, suite: str, mirror: str, report: Callable[[str], None]) -> None:
    """Unpack the packages straight into a new layer and commit it."""
    container = store.buildah("from", "scratch")
    try:
        root = Path(store.buildah("mount", container))
        include = f"--include={','.join(PACKAGES)}"
        command = ["debootstrap", "--variant=minbase", include, suite, str(root)]
        log = store.directory() / "base.log"
        store.watched([*command, *([mirror] if mirror else [])], "base image", log, report)
        _finish(root)
        store.buildah("umount", container)
        store.buildah("config", "--cmd", "python3", container)
        store.buildah("commit", "--quiet", container, reference)
    finally:
        with contextlib.suppress(ClusterError):  # the first error is the one to show
            store.buildah("rm", container)


def _finish(root: Path) -> None:
    """Leave out what no container reads, and call Python what the official Python images call it."""
    for name in UNWANTED:
        shutil.rmtree(root / name, ignore_errors=True)
        (root / name).mkdir(parents=True, exist_ok=True)
    link = root / "usr/bin/python"
    if not link.is_symlink():
        link.symlink_to("python3")


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    return ""
