"""Command line of the local cluster: ``python -m dev.cluster``; ``--help`` lists the commands."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from dev.cluster import Cluster, ClusterError, Size, instance, leftovers, programs
from dev.cluster.size import missing_for_node


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors the user can act on are printed without a traceback."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments) or 0)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run the command again to go on where it stopped", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    root = argparse.ArgumentParser(prog="python -m dev.cluster", description=__doc__)
    commands = root.add_subparsers(required=True, metavar="command")
    up = commands.add_parser("up", help="start the cluster, or what is missing of it")
    up.add_argument("--size", type=Size, choices=list(Size), help="default: node where possible")
    up.add_argument("--yes-really", action="store_true", help="with CLUSTER=current: accept any context")
    up.set_defaults(run=_up)
    build_help = "build the programs that the cluster needs, once; `up` does it as well"
    commands.add_parser("build", help=build_help).set_defaults(run=_build)
    commands.add_parser("down", help="stop it and remove every trace").set_defaults(run=_down)
    commands.add_parser("status", help="what runs").set_defaults(run=_status)
    commands.add_parser("kubeconfig", help="print the path of the admin's kubeconfig").set_defaults(run=_kubeconfig)
    leftovers_help = "what the instance has on this machine: processes, mounts, links, directories"
    commands.add_parser("leftovers", help=leftovers_help).set_defaults(run=_leftovers)
    commands.add_parser("instances", help="the names of all instances of which there is a trace").set_defaults(
        run=_instances
    )
    images = commands.add_parser("images", help="build this project's images and load them, print their references")
    images.set_defaults(run=_images)
    load = commands.add_parser("load-image", help="load archives of images as `docker save` writes them")
    load.add_argument("archive", type=Path, nargs="+")
    load.set_defaults(run=_load_image)
    return root


def _up(arguments: argparse.Namespace) -> None:
    begin = time.monotonic()
    size = arguments.size or _default_size()
    cluster = Cluster.for_instance(really=arguments.yes_really)
    cluster.up(size, report=_say)
    _say(f"Ready after {time.monotonic() - begin:.1f} s. export KUBECONFIG={cluster.kubeconfig}")


def _build(_: argparse.Namespace) -> None:
    with_node = _default_size() is Size.NODE
    always = programs.CONTROL_PLANE + programs.FAKE_NODES + programs.CHECKS
    programs.ensure(always + (programs.NODE if with_node else ()), _say)


def _down(_: argparse.Namespace) -> None:
    Cluster.for_instance().down(report=_say)


def _status(_: argparse.Namespace) -> int:
    states = Cluster.for_instance().status()
    for name, state in states.items():
        _say(f"{name:26}{state}")
    if not states:
        _say("no cluster")
    return 0 if states and "stopped" not in states.values() else 1


def _kubeconfig(_: argparse.Namespace) -> None:
    _say(str(Cluster.for_instance().kubeconfig))


def _leftovers(_: argparse.Namespace) -> int:
    found = leftovers.of(instance.default_name())
    for line in found:
        _say(line)
    return 1 if found else 0


def _instances(_: argparse.Namespace) -> None:
    for name in leftovers.names():
        _say(name)


def _images(_: argparse.Namespace) -> None:
    built = Cluster.for_instance().build_project_images(report=lambda text: print(text, file=sys.stderr, flush=True))
    for reference in built.values():
        _say(reference)


def _load_image(arguments: argparse.Namespace) -> None:
    for archive in arguments.archive:
        Cluster.for_instance().load_image(archive)


def _default_size() -> Size:
    missing = missing_for_node()
    if missing:
        _say(f"Control plane only: {missing}.")
        return Size.CONTROL_PLANE
    return Size.NODE


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
