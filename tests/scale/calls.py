"""Counts what one user asks of the API server, by purpose, without a change of its configuration.

Every purpose is a FlowSchema that matches the user's requests of this kind and leaves them at the priority they
have anyway; the API server counts what it dispatched for each. So nobody else's requests are counted, and it is
the server that counts, not the client that is measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tests.scale.api import Api, Body

_API = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
_DISPATCHED = re.compile(r'^apiserver_flowcontrol_dispatched_requests_total\{flow_schema="([^"]+)"[^}]*\} (\S+)$', re.M)
_ALL = ("*",)

#: Purposes, the first that matches counts: (API groups, resources, verbs).
PURPOSES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "lease": (("coordination.k8s.io",), ("leases",), _ALL),
    "event": (("events.k8s.io",), ("events",), _ALL),
    "status": (("biospark.ai",), ("biosparkenvironments/status",), _ALL),
    "resource": (("biospark.ai",), ("biosparkenvironments",), ("patch", "update")),
    "get": (_ALL, _ALL, ("get",)),
    "list": (_ALL, _ALL, ("list",)),
    "watch": (_ALL, _ALL, ("watch",)),
    "apply": (_ALL, _ALL, ("patch",)),
    "create": (_ALL, _ALL, ("create",)),
    "update": (_ALL, _ALL, ("update",)),
    "delete": (_ALL, _ALL, ("delete", "deletecollection")),
}
#: Purposes that change something; the Lease does too, and is no cost of environments.
WRITES = ("event", "status", "resource", "apply", "create", "update", "delete")
READS = ("get", "list", "watch")


async def begin(api: Api, namespace: str, account: str) -> None:
    """Have the requests of a ServiceAccount counted from now on."""
    for precedence, purpose in enumerate(PURPOSES):
        schema = _schema(purpose, 100 + precedence, namespace, account)
        await api.apply(f"{_API}/{schema['metadata']['name']}", schema)


async def counted(api: Api) -> dict[str, int]:
    """Return how many requests of each purpose there were."""
    counts = dict.fromkeys(PURPOSES, 0)
    for schema, value in _DISPATCHED.findall(await api.text("/metrics")):
        purpose = schema.removeprefix("benchmark-")
        if purpose != schema and purpose in counts:
            counts[purpose] += int(float(value))
    return counts


def difference(after: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """Return what was added between two counts, the Lease left out."""
    return {purpose: after[purpose] - before[purpose] for purpose in after if purpose != "lease"}


def total(calls: Mapping[str, int], purposes: Iterable[str]) -> int:
    """Return the sum over some purposes."""
    return sum(calls[purpose] for purpose in purposes)


def _schema(purpose: str, precedence: int, namespace: str, account: str) -> Body:
    groups, resources, verbs = PURPOSES[purpose]
    rule: dict[str, Any] = {"apiGroups": list(groups), "resources": list(resources), "verbs": list(verbs)}
    subject = {"kind": "ServiceAccount", "serviceAccount": {"namespace": namespace, "name": account}}
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": f"benchmark-{purpose}"},
        "spec": {
            "matchingPrecedence": precedence,
            # Where ServiceAccounts are by default.
            "priorityLevelConfiguration": {"name": "workload-low"},
            "rules": [{"subjects": [subject], "resourceRules": [{**rule, "clusterScope": True, "namespaces": ["*"]}]}],
        },
    }
