"""The admission policies of the chart on a real API server, and requests of people who have only some of its roles."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError

from dev.cluster import programs
from dev.deploy import Tools
from tests.integration.restricted import apply
from tests.unit.chart.helm import Helm, Manifest

ENVIRONMENTS = "/apis/biospark.ai/v1alpha1/biosparkenvironments"
POLICIES = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")


def chart_policies(values: Mapping[str, Any] | None = None) -> Sequence[Manifest]:
    """Return the chart's admission policies and their bindings."""
    return [item for item in Helm(programs.path("helm")).manifests(values) if item["kind"] in POLICIES]


class Requests:
    """Requests of one user, by impersonation; None is the administrator. What is refused is returned, not raised."""

    def __init__(self, kubeconfig: str, user: str | None = None) -> None:
        self._api = DynamicClient(config.new_client_from_config(kubeconfig))
        self._headers = {"Impersonate-User": user} if user else {}

    def refusal(self, method: str, path: str, body: Any = None, *, dry_run: bool = True) -> str | None:
        """Send a request and return with what words it is refused, None if it is not."""
        try:
            self._api.request(
                method,
                path,
                body=body,
                content_type="application/merge-patch+json" if method == "PATCH" else "application/json",
                header_params=self._headers,
                serialize=False,
                **({"dry_run": "All"} if dry_run and method != "GET" else {}),
            )
        except DynamicApiError as error:
            return str(json.loads(error.body)["message"])
        return None

    def create(self, body: Any, *, dry_run: bool = True) -> str | None:
        """Create an environment."""
        return self.refusal("POST", ENVIRONMENTS, body, dry_run=dry_run)

    def patch(self, name: str, change: Any, *, dry_run: bool = True) -> str | None:
        """Merge a change into an environment."""
        return self.refusal("PATCH", f"{ENVIRONMENTS}/{name}", change, dry_run=dry_run)

    def delete(self, name: str, *, dry_run: bool = True) -> str | None:
        """Delete an environment."""
        return self.refusal("DELETE", f"{ENVIRONMENTS}/{name}", dry_run=dry_run)


@contextmanager
def policies(kubeconfig: str, values: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Install the chart's policies, and take them away afterwards."""
    tools, manifests = Tools(Path(kubeconfig)), chart_policies(values)
    apply(tools, manifests)
    try:
        yield
    finally:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
        tools.kubectl("delete", "-f", "-", "--ignore-not-found", text=text)


def until_refused(ask: Callable[[], str | None], words: str, seconds: float = 90) -> None:
    """Return once a request is refused with these words: the API server asks new policies a little later."""
    deadline = time.monotonic() + seconds
    while words not in (said := ask() or ""):
        assert time.monotonic() < deadline, f"not refused after {seconds} s: {said}"
        time.sleep(0.1)
