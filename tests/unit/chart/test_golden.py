"""The manifests of typical sets of values, word by word.

After a wanted change write them again with UPDATE_GOLDEN=1 and read the difference.
"""

import os
import re
from typing import Any

import pytest

from tests.unit.chart.helm import ROOT, Helm

GOLDEN = ROOT / "tests" / "golden" / "chart"

SETS: dict[str, dict[str, Any]] = {
    "default": {},
    "minimal": {
        "replicas": 1,
        "crd": {"install": False},
        "rbac": {"aggregateView": False, "aggregateEdit": False},
        "deletionProtection": {"admissionPolicy": False},
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
    },
    "everything": {
        "fullnameOverride": "envs",
        "commonLabels": {"team": "platform"},
        "replicas": 3,
        "image": {
            "repository": "registry.example.com/biospark/biospark-operator",
            "tag": "0.2.0",
            "digest": "sha256:" + "4f53" * 16,
            "pullPolicy": "Always",
        },
        "imagePullSecrets": [{"name": "registry"}],
        "platform": {"apiImage": "registry.example.com/biospark/biospark-api:0.2.0"},
        "logLevel": "DEBUG",
        "extraEnv": [{"name": "BIOSPARK_OPERATOR_PASSES", "value": "32"}],
        "extraVolumes": [{"name": "authorities", "configMap": {"name": "corporate-authorities"}}],
        "extraVolumeMounts": [{"name": "authorities", "mountPath": "/etc/authorities", "readOnly": True}],
        "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}],
        "serviceAccount": {"annotations": {"example.com/role": "operator"}},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "control-plane", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
        ],
        "podLabels": {"mesh": "off"},
        "podAnnotations": {"example.com/note": "x"},
        "service": {"annotations": {"prometheus.io/scrape": "true"}},
        "serviceMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}},
        "networkPolicy": {
            "ingressNamespaces": ["monitoring", "observability"],
            "dns": {"cidrs": ["169.254.20.10/32"]},
            "egress": {"apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [6443]}},
            "additionalEgress": [{"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 3128}]}],
        },
    },
    "foreign-accounts": {
        "serviceAccount": {"create": False, "name": "someone"},
        "rbac": {"create": False},
        "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
    },
}


def without_definition(rendered: str) -> str:
    """The manifests without the CRD, which has two thousand lines and tests of its own."""
    documents = re.split(r"(?m)^---\n", rendered)
    kept = [text for text in documents if "\nkind: CustomResourceDefinition\n" not in text]
    return "---\n".join(kept)


@pytest.mark.parametrize("name", SETS)
def test_manifests_are_as_reviewed(helm: Helm, name: str) -> None:
    golden = GOLDEN / f"{name}.yaml"
    rendered = without_definition(helm.template(SETS[name]))
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(rendered)
    assert rendered == golden.read_text(), "run with UPDATE_GOLDEN=1 and read the difference"


@pytest.mark.parametrize("name", SETS)
def test_strict_lint_finds_no_fault(helm: Helm, name: str) -> None:
    assert "0 chart(s) failed" in helm.lint(SETS[name])
