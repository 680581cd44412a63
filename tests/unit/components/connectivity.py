"""Who may connect to whom under a set of network policies, as an independent analyzer computes it.

`network-config-analyzer` needs older libraries than the project, so it lives in an environment of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import yaml

from biospark_operator.clients.kubernetes.objects import Manifest

CONTAINER = {"name": "any", "image": "any"}
ANALYZER = Path(sys.prefix) / "connectivity" / "bin" / "nca"


@dataclass(frozen=True)
class Pod:
    """A pod of the world in which policies are tried out."""

    namespace: str
    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def manifests(self) -> list[Manifest]:
        """Return the pod and its namespace."""
        metadata = {"name": self.name, "namespace": self.namespace, "labels": dict(self.labels)}
        namespace = {"name": self.namespace, "labels": {"kubernetes.io/metadata.name": self.namespace}}
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace},
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            },
        ]


class Connectivity:
    """The answer of the analyzer."""

    def __init__(self, rules: Sequence[Mapping[str, Any]]) -> None:
        self._rules = rules

    def ports(self, source: Pod | str, target: Pod | str) -> set[str]:
        """Return what is allowed from a pod or an address to another, as in {"TCP 8080"}; {"all"} is everything."""
        return {
            port
            for rule in self._rules
            if _covers(rule, "src", source) and _covers(rule, "dst", target)
            for port in _ports(rule["connection"])
        }


def connectivity(folder: Path, pods: Iterable[Pod], policies: Sequence[Manifest]) -> Connectivity:
    """Let the analyzer compute what `policies` leave of the connections between `pods` and with the outside."""
    objects = {json.dumps(manifest, sort_keys=True): manifest for pod in pods for manifest in pod.manifests()}
    (folder / "objects.yaml").write_text(yaml.safe_dump_all([*objects.values(), *policies]), encoding="utf-8")
    result = folder / "connectivity.txt"
    answer = subprocess.run(
        [ANALYZER, "--connectivity", "-r", folder, "-o", "yaml", "-f", result, "--output_endpoints", "pods"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    report = yaml.safe_load(result.read_text(encoding="utf-8"))
    return Connectivity(report[0]["explanation"][0]["rules"])


def _covers(rule: Mapping[str, Any], side: str, end: Pod | str) -> bool:
    if isinstance(end, str):
        return any(ip_address(end) in ip_network(block) for block in rule.get(f"{side}_ip_block", ()))
    names = rule.get(f"{side}_pods", ())
    return end.namespace in rule.get(f"{side}_ns", ()) and ("*" in names or end.name in names)


def _ports(connection: Sequence[Any]) -> Iterable[str]:
    for item in connection:
        if not isinstance(item, Mapping):
            yield "all"
            continue
        for protocol in item["protocols"].split(", "):
            yield from (f"{protocol} {port}" for port in item.get("dst_ports", ["all"]))
