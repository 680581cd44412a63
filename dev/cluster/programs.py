"""The programs of the cluster, built from pinned Go modules and kept in a cache.

Nothing is downloaded as a binary: each directory under ``go/`` pins a group of programs by ``go.mod`` and
``go.sum``. A program's cache entry is named by the hash of its group's pins, so it is built once per change of
the pins and every later start is instant, whatever Go toolchain built it. The control plane, the node and the
chart tests (``programs.path("helm")``) take their programs from here.

Kubernetes has a group for each minor version that is tested; ``$KUBERNETES`` chooses one, such as ``1.33``.
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
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from dev.cluster.instance import ClusterError, cache_root, locked

SOURCES = Path(__file__).parent / "go"
KUBERNETES = "kubernetes"
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
    "kube-apiserver": Program(KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver", 240),
    "kube-controller-manager": Program(KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager", 50),
    "kube-scheduler": Program(KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler", 10),
    "cert-manager": Program("addons", "./cert-manager", 190),
    "helm": Program("addons", "helm.sh/helm/v3/cmd/helm", 30),
    "kubelet": Program(KUBERNETES, "k8s.io/kubernetes/cmd/kubelet", 20),
    "kube-proxy": Program(KUBERNETES, "k8s.io/kubernetes/cmd/kube-proxy", 30),
    "coredns": Program("addons", "./coredns", 15),
    "metrics-server": Program("addons", "sigs.k8s.io/metrics-server/cmd/metrics-server", 50),
    "pause": Program("pause", ".", 2),
    "validate-definitions": Program("validation", ".", 60),
    "kube-score": Program("lint", "github.com/zegl/kube-score/cmd/kube-score", 30),
    "kwok": Program("addons", "sigs.k8s.io/kwok/cmd/kwok", 15),
}
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "cert-manager", "helm")
NODE = ("kubelet", "kube-proxy", "coredns", "metrics-server", "pause")
FAKE_NODES = ("kwok",)
CHECKS = ("validate-definitions", "kube-score")


def path(name: str, report: Callable[[str], None] = print) -> Path:
    """Path of a program, built first if it is not in the cache."""
    ensure([name], report)
    return binary(name)


def binary(name: str) -> Path:
    """Where the program is once it has been built."""
    return cache_of(group_of(PROGRAMS[name])) / "bin" / name


def group_of(program: Program) -> str:
    """The directory with the program's pins: for Kubernetes that of the version which ``$KUBERNETES`` chooses.

    Raises ClusterError where that version is not among the tested ones.
    """
    wanted = os.environ.get("KUBERNETES")
    if program.group != KUBERNETES or not wanted:
        return program.group
    groups = {minor(group): group for group in kubernetes_groups()}
    if wanted not in groups:
        *others, last = sorted(groups, key=_numbers)
        raise ClusterError(f"KUBERNETES={wanted}: write {', '.join(others)} or {last}")
    return groups[wanted]


def kubernetes_groups() -> list[str]:
    """The groups of pins of Kubernetes, a minor version each; the default one comes first."""
    return sorted(path.name for path in SOURCES.glob(f"{KUBERNETES}*"))


def minor(group: str) -> str:
    """The minor version of Kubernetes that a group pins, such as ``1.33``."""
    return ".".join(kubernetes_pin(group)[:2])


def kubernetes_pin(group: str) -> tuple[str, ...]:
    """Major, minor and patch version of Kubernetes that a group pins."""
    pin = re.search(r"k8s.io/kubernetes v(\d+)\.(\d+)\.(\d+)", (SOURCES / group / "go.mod").read_text())
    if pin is None:
        raise ClusterError(f"dev/cluster/go/{group}/go.mod requires no version of k8s.io/kubernetes")
    return pin.groups()


def ensure(names: Iterable[str], report: Callable[[str], None] = print) -> None:
    """Build what is missing of `names`; two commands that need the same program build it once."""
    missing = [name for name in names if not binary(name).exists()]
    if not missing:
        return
    toolchain = find_go({group_of(PROGRAMS[name]) for name in missing})
    expected = sum(PROGRAMS[name].usual_seconds for name in missing)
    report(f"Building {', '.join(missing)} (once; usually {expected} s on 2 cores)")
    for name in missing:
        with locked(cache_of(group_of(PROGRAMS[name])), lambda: report("  waiting for another build to end")):
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


def find_go(groups: Collection[str]) -> Path:
    """The Go toolchain: `go` in PATH if it is new enough for these pins, else the one in the virtual environment."""
    wanted = max(_go_directive(SOURCES / group / "go.mod") for group in groups)
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
    run = [str(find_go({group})), "mod", "download", module]
    _checked(run, group, f"downloading {module}")
    listing = _checked([run[0], "list", "-m", "-f", "{{.Dir}}", module], group, f"looking up {module}")
    return Path(listing.strip())


def link_flags(program: Program) -> str:
    """Linker flags: Kubernetes learns its version only from them and would call itself v0.0.0."""
    if program.group != KUBERNETES:
        return LINK_FLAGS
    pin = kubernetes_pin(group_of(program))
    version = "k8s.io/component-base/version"
    values = {"gitVersion": f"v{'.'.join(pin)}", "gitMajor": pin[0], "gitMinor": pin[1]}
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
            command, cwd=SOURCES / group_of(program), env=_environment(), stdout=output, stderr=subprocess.STDOUT
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


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _go_directive(module: Path) -> tuple[int, ...]:
    found = re.search(r"^go ([0-9.]+)$", module.read_text(), re.MULTILINE)
    return tuple(map(int, found[1].split("."))) if found else ()
