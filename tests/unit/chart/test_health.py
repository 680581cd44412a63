"""`helm test`: a pod of the operator's own image that asks the operator how it is."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.unit.chart.helm import CHART, Helm, Manifest


@pytest.fixture(scope="module")
def test_pod(helm: Helm) -> Manifest:
    return helm.manifest("Pod", "biospark-operator-test")


def test_it_is_a_test_of_helm_and_no_part_of_the_release(test_pod: Manifest) -> None:
    assert test_pod["metadata"]["annotations"]["helm.sh/hook"] == "test"


def test_it_needs_nothing_but_the_operators_image_and_no_rights(helm: Helm, test_pod: Manifest) -> None:
    (container,) = test_pod["spec"]["containers"]
    (operator,) = helm.manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == operator["image"]
    assert container["securityContext"] == operator["securityContext"]
    assert test_pod["spec"]["automountServiceAccountToken"] is False


def test_it_is_not_taken_for_a_pod_of_the_operator(helm: Helm, test_pod: Manifest) -> None:
    for kind, path in (("Service", "selector"), ("PodDisruptionBudget", "selector")):
        selector = helm.manifest(kind)["spec"][path]
        selector = selector.get("matchLabels", selector)
        assert not selector.items() <= test_pod["metadata"]["labels"].items()


def test_it_is_let_through_while_it_runs(helm: Helm, test_pod: Manifest) -> None:
    policy = helm.manifest("NetworkPolicy", "biospark-operator-test")
    assert policy["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert int(policy["metadata"]["annotations"]["helm.sh/hook-weight"]) < 0
    (rule,) = policy["spec"]["ingress"]
    (source,) = rule["from"]
    assert source["podSelector"]["matchLabels"].items() <= test_pod["metadata"]["labels"].items()
    assert policy["spec"]["podSelector"] == helm.manifest("NetworkPolicy")["spec"]["podSelector"]


@contextmanager
def operator(statuses: Mapping[str, int]) -> Iterator[str]:
    """A server that answers with these statuses by path; yields its address."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(statuses[self.path])
            self.end_headers()
            self.wfile.write(b"starting")

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def ran(test_pod: Manifest, service: str) -> subprocess.CompletedProcess[str]:
    """Run what the pod runs, with less patience."""
    (container,) = test_pod["spec"]["containers"]
    program, _ = container["args"]
    assert program.strip() == (CHART / "files" / "health.py").read_text().strip()
    impatient = program.replace("DEADLINE, PAUSE = 60, 1", "DEADLINE, PAUSE = 0.2, 0.1")
    assert impatient != program
    return subprocess.run([sys.executable, "-c", impatient, service], capture_output=True, text=True, check=False)


def test_it_succeeds_where_the_operator_is_well(test_pod: Manifest) -> None:
    with operator({"/healthz": 200, "/readyz": 200, "/metrics": 200}) as service:
        assert ran(test_pod, service).returncode == 0


def test_it_fails_and_says_why_where_the_operator_is_not(test_pod: Manifest) -> None:
    with operator({"/healthz": 200, "/readyz": 503, "/metrics": 200}) as service:
        found = ran(test_pod, service)
    assert (found.returncode, found.stdout) == (1, "/readyz: starting\n")
    gone = ran(test_pod, service)
    assert gone.returncode == 1
    assert "refused" in gone.stdout
