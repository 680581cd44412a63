"""A cluster with a node, with the operator installed as users do: pods from the chart, with only its rights.

The tests share one installation and tell themselves apart by the names of their environments. When all have
run, the logs of the operator must not hold a single refusal: what it does, its ServiceAccount may do.
"""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from dev import deploy
from dev.cluster import Cluster, Size
from dev.deploy import Tools
from tests.clusters import require_node, shared

#: As a number 403 stands alone: it is also among the digits of a time.
REFUSED = re.compile(r"forbidden|\b403\b|AccessDenied", re.IGNORECASE)


@dataclass(frozen=True)
class Installation:
    """The operator on a cluster, and the images that the project was built into."""

    cluster: Cluster
    tools: Tools
    images: Mapping[str, str]

    def operator_log(self) -> str:
        """Return what all pods of the operator have logged."""
        selector = f"app.kubernetes.io/instance={deploy.RELEASE}"
        return self.tools.kubectl("logs", "-n", deploy.NAMESPACE, "-l", selector, "--tail=-1", check=False)

    def check_rights(self) -> None:
        """Fail if the operator was refused anything. To be asked before a pod goes and takes its log along."""
        refusals = [line for line in self.operator_log().splitlines() if REFUSED.search(line)]
        assert not refusals, "the operator was refused something:\n" + "\n".join(refusals[:10])


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """The operator, installed from the chart on a node of this machine."""
    require_node()
    with shared(os.environ.get("BIOSPARK_INSTANCE", "e2e"), Size.NODE) as cluster:
        images = cluster.build_project_images()
        found = Installation(cluster, deploy.install(cluster, images), images)
        yield found
        found.check_rights()


class Deployed:
    """One environment on the cluster."""

    def __init__(self, installation: Installation) -> None:
        self.name = f"e{uuid.uuid4().hex[:6]}"
        self.namespace = f"biospark-{self.name}"
        self.installation, self.tools = installation, installation.tools

    def apply(self, profile: str = "Development", **spec: Any) -> None:
        """Create or change the environment; `spec` is laid over the smallest one."""
        body = {
            "apiVersion": "biospark.ai/v1alpha1",
            "kind": "BioSparkEnvironment",
            "metadata": {"name": self.name},
            "spec": {"profile": profile, "host": f"{self.name}.biospark.example", **spec},
        }
        self.tools.kubectl("apply", "-f", "-", text=json.dumps(body))

    def kubectl(self, *args: str, **options: Any) -> str:
        """Run kubectl in the environment's namespace."""
        return self.tools.kubectl("-n", self.namespace, *args, **options)

    def until(
        self, type_: str, status: str, reason: str | None = None, *, says: str = "", seconds: float = 90
    ) -> Mapping[str, Any]:
        """Wait until a condition of the current generation is as wanted, and return the environment."""
        for environment in deploy.watched(self.tools, self.name, seconds):
            for condition in environment.get("status", {}).get("conditions", ()):
                current = condition["observedGeneration"] == environment["metadata"]["generation"]
                wanted = (condition["type"], condition["status"]) == (type_, status)
                if current and wanted and reason in (None, condition["reason"]) and says in condition["message"]:
                    return environment
        raise AssertionError(f"{type_} did not become {status}/{reason} within {seconds} s\n{self.dump()}")

    def eventually(self, check: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait until something that sends no event is so."""
        deadline = time.monotonic() + seconds
        while not check():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds} s: {what}\n{self.dump()}")
            time.sleep(0.2)

    def dump(self) -> str:
        """Return what explains a wait that timed out: conditions, objects, Events, the operator's log."""
        parts = [
            self.tools.kubectl("get", "bse", self.name, "-o", "yaml", check=False),
            self.kubectl("get", "all,events", check=False),
            self.tools.kubectl("get", "events", "-n", "default", check=False)[-3000:],
            self.installation.operator_log()[-4000:],
        ]
        return "\n---\n".join(parts)

    def delete(self) -> None:
        """Delete the environment and wait until it is gone."""
        self.tools.kubectl("delete", "bse", self.name, "--ignore-not-found", "--timeout=90s")

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask the API through its Service: status and body. Raises `OSError` if there is no answer."""
        address = self.kubectl("get", "service", "biospark-api", "-o", "jsonpath={.spec.clusterIP}")
        return fetch(f"http://{address}{path}")


def fetch(url: str) -> tuple[int, bytes]:
    """GET a URL of the cluster; an HTTP error is an answer, too."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def env(installation: Installation) -> Iterator[Deployed]:
    """An environment of the test's own; deleted afterwards, whatever its protection."""
    yield from _deployed(installation)


@pytest.fixture
def second_env(installation: Installation) -> Iterator[Deployed]:
    """Another one."""
    yield from _deployed(installation)


def _deployed(installation: Installation) -> Iterator[Deployed]:
    deployed = Deployed(installation)
    yield deployed
    unprotect = '{"spec":{"deletionProtection":false,"suspend":false}}'
    deployed.tools.kubectl("patch", "bse", deployed.name, "--type=merge", "-p", unprotect, check=False)
    deployed.tools.kubectl("delete", "bse", deployed.name, "--ignore-not-found", "--wait=false")
