"""The programs of the cluster, built from pinned Go modules and kept in a cache.

Nothing is downloaded as a binary: each directory under ``go/`` pins a group of programs by ``go.mod`` and
``go.sum``. A program's cache entry is named by the hash of its group's pins, so it is built once per change of
the pins and every later start is instant, whatever Go toolchain built it. The control plane, the node and the
chart tests (``programs.path("helm")``) take their programs from here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from dev.cluster.instance import ClusterError, cache_root, locked

SOURCES = Path(__file__).parent / "go"
BUILD_FLAGS = ("-trimpath", "-buildvcs=false")
LINK_FLAGS = "-s -w"
PROGRESS_SECONDS = 15


@dataclasses.dataclass(frozen=True)
class Program:
    """One program: the group of pins it belongs to, its Go package, how long a first build takes."""

    group: str
    package: str
    usual_seconds: int


PROGRAMS = {
    "etcd": Program("etcd", "go.etcd.io/etcd/server/v3", 50),
    "kube-apiserver": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", 240),
    "kube-controller-manager": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager", 50),
    "kube-scheduler": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", 10),
    "cert-manager": Program("addons", "./cert-manager", 190),
    "helm": Program("addons", "helm.sh/helm/v3/cmd/helm", 30),
    "kubelet": Program("kubernetes", "k8s.io/kubernetes/cmd/kubelet", 20),
    "kube-proxy": Program("kubernetes", "k8s.io/kubernetes/cmd/kube-proxy", 30),
    "coredns": Program("addons", "./coredns", 15),
    "metrics-server": Program("addons", "sigs.k8s.io/metrics-server/cmd/metrics-server", 50),
    "pause": Program("pause", ".", 2),
    "kwok": Program("addons", "sigs.k8s.io/kwok/cmd/kwok", 15),
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "cert-manager", "helm")
NODE = ("kubelet", "kube-proxy", "coredns", "metrics-server", "pause")
FAKE_NODES = ("kwok",)


def path(name: str, report: Callable[[str], None] = print) -> Path:
    """Path of a program, built first if it is not in the cache."""
    ensure([name], report)
    return binary(name)


def binary(name: str) -> Path:
    """Where the program is once it has been built."""
    return cache_of(PROGRAMS[name].group) / "bin" / name


def ensure(names: Iterable[str], report: Callable[[str], None] = print) -> None:
    """Build what is missing of `names`; two commands that need the same program build it once."""
    missing = [name for name in names if not binary(name).exists()]
    if not missing:
        return
    toolchain = find_go()
    expected = sum(PROGRAMS[name].usual_seconds for name in missing)
    report(f"Building {', '.join(missing)} (once; usually {expected} s on 2 cores)")
    for name in missing:
        with locked(cache_of(PROGRAMS[name].group), lambda: report("  waiting for another build to end")):
            if not binary(name).exists():  # somebody else may have built it while we waited
                _build(name, toolchain, report)


def cache_of(group: str) -> Path:
    """Cache directory of a group of pins: another pin is another directory."""
    return cache_root() / "programs" / f"{group}-{hash_of_pins(SOURCES / group)}"


def hash_of_pins(sources: Path) -> str:
    """Twelve hex digits that stand for everything that goes into a group's programs."""
    digest = hashlib.sha256(" ".join([*BUILD_FLAGS, LINK_FLAGS, platform.machine()]).encode())
    for file in sorted(path for path in sources.rglob("*") if path.is_file()):
        digest.update(f"\0{file.relative_to(sources)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def find_go() -> Path:
    """The Go toolchain: `go` in PATH when it is new enough for every pin, else the one in the virtual environment."""
    wanted = max(_go_directive(module) for module in SOURCES.glob("*/go.mod"))
    candidates = [shutil.which("go"), str(Path(sys.executable).parent / "go")]
    for candidate in candidates:
        if candidate and Path(candidate).exists() and go_version(candidate) >= wanted:
            return Path(candidate)
    needed = ".".join(map(str, wanted))
    raise ClusterError(f"Go {needed} or newer is needed to build the cluster's programs: run `make tools`")


def go_version(go: str) -> tuple[int, ...]:
    """Version of a Go toolchain, () when it cannot be run."""
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False, env=_environment())
    found = re.search(r"go version go([0-9.]+)", answer.stdout)
    return tuple(map(int, found[1].rstrip(".").split("."))) if found else ()


def module_directory(group: str, module: str) -> Path:
    """Where a pinned module of the group lies in Go's module cache, downloaded first if need be."""
    run = [str(find_go()), "mod", "download", module]
    _checked(run, group, f"downloading {module}")
    listing = _checked([run[0], "list", "-m", "-f", "{{.Dir}}", module], group, f"looking up {module}")
    return Path(listing.strip())


def link_flags(program: Program) -> str:
    """Linker flags: Kubernetes learns its version only from them and would call itself v0.0.0."""
    if program.group != "kubernetes":
        return LINK_FLAGS
    pin = re.search(r"k8s.io/kubernetes v(\d+)\.(\d+)\.(\d+)", (SOURCES / "kubernetes" / "go.mod").read_text())
    if pin is None:
        raise ClusterError("dev/cluster/go/kubernetes/go.mod requires no version of k8s.io/kubernetes")
    version = "k8s.io/component-base/version"
    values = {"gitVersion": f"v{'.'.join(pin.groups())}", "gitMajor": pin[1], "gitMinor": pin[2]}
    return " ".join([LINK_FLAGS, *(f"-X {version}.{name}={value}" for name, value in values.items())])


def _build(name: str, toolchain: Path, report: Callable[[str], None]) -> None:
    """Build one program with progress, and put it in its place only when it is complete."""
    program, target = PROGRAMS[name], binary(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    flags = [*BUILD_FLAGS, f"-ldflags={link_flags(program)}"]
    command = [str(toolchain), "build", *flags, "-o", str(unfinished), program.package]
    log = target.parent.parent / f"{name}.build.log"
    begin = time.monotonic()
    report(f"  {name}: building (usually {program.usual_seconds} s)")
    with log.open("wb") as output:
        build = subprocess.Popen(
            command, cwd=SOURCES / program.group, env=_environment(), stdout=output, stderr=subprocess.STDOUT
        )
        _watch(build, lambda: report(f"  {name}: still building, {time.monotonic() - begin:.0f} s"))
    if build.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise ClusterError(f"building {name} failed; the whole log is {log}:\n{tail}")
    unfinished.replace(target)
    report(f"  {name}: built in {time.monotonic() - begin:.0f} s")


def _watch(build: subprocess.Popen[bytes], tick: Callable[[], None]) -> None:
    """Wait for a build and call `tick` now and then; an interrupt ends the build as well."""
    try:
        while True:
            try:
                build.wait(PROGRESS_SECONDS)
            except subprocess.TimeoutExpired:
                tick()
            else:
                return
    except BaseException:
        build.terminate()
        build.wait()
        raise


def _checked(command: list[str], group: str, doing: str) -> str:
    answer = subprocess.run(
        command, cwd=SOURCES / group, env=_environment(), capture_output=True, text=True, check=False
    )
    if answer.returncode:
        raise ClusterError(f"{doing} failed:\n{answer.stderr.strip()}")
    return answer.stdout


def _environment() -> dict[str, str]:
    """Static programs, the toolchain that was chosen and no other, no workspace of the user."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _go_directive(module: Path) -> tuple[int, ...]:
    found = re.search(r"^go ([0-9.]+)$", module.read_text(), re.MULTILINE)
    return tuple(map(int, found[1].split("."))) if found else ()
