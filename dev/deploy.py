"""Installs the operator on a cluster from this checkout: images, chart, settings. Used by the demo and e2e tests."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.cluster import Cluster, programs
from dev.cluster.api import has_condition
from dev.cluster.local import LocalProvider
from dev.cluster.postgres import SUPERUSER, Server

CHECKOUT = Path(__file__).parents[1]
CHART = CHECKOUT / "charts" / "biospark-operator"
CRD = CHECKOUT / "crds" / "biospark.ai_biosparkenvironments.yaml"
NAMESPACE = "biospark-system"
RELEASE = "biospark-operator"


@dataclass(frozen=True)
class Tools:
    """kubectl and helm, both with the admin's kubeconfig of one cluster."""

    kubeconfig: Path

    def kubectl(self, *args: str, check: bool = True, text: str | None = None) -> str:
        """Run kubectl, with `text` as its input, and return what it prints. Raises `RuntimeError` if it fails."""
        return self._run(Path(sys.prefix) / "bin" / "kubectl", *args, check=check, text=text)

    def helm(self, *args: str, check: bool = True, text: str | None = None) -> str:
        """Run helm in the same way."""
        return self._run(programs.path("helm"), *args, check=check, text=text)

    def define(self, seconds: float = 30) -> None:
        """Install the definition of environments alone, and return once clients find it.

        "Established" comes first: until the API server's list of kinds follows, kubectl knows no such resource.
        """
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
        established = has_condition("Established")

        def is_established() -> bool:
            return established(json.loads(self.kubectl("get", "-f", str(CRD), "-o", "json")))

        self._until(is_established, seconds, "the API server does not accept the definition of environments")
        self._until(
            lambda: bool(self.kubectl("explain", "biosparkenvironments", check=False)),
            seconds,
            "the API server does not list biosparkenvironments",
        )

    @staticmethod
    def _until(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Wait until it `holds`. `kubectl wait` fails for an object whose conditions are still null."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{otherwise} after {seconds:.0f} s")
            time.sleep(0.2)

    def _run(self, program: Path, *args: str, check: bool, text: str | None) -> str:
        done = subprocess.run(
            [program, *args],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )
        if check and done.returncode:
            raise RuntimeError(f"{program.name} {' '.join(args)} failed:\n{done.stderr.strip()}")
        return done.stdout


#: The Secret with the administrator of the PostgreSQL server.
DATABASE_ADMIN = "postgres-admin"


def values(cluster: Cluster, images: Mapping[str, str], server: Server | None = None) -> dict[str, Any]:
    """Return the chart's values for a local cluster: its images, and what is no pod: its DNS, and PostgreSQL."""
    repository, _, tag = images["operator"].rpartition(":")
    dns = [cluster.node_address] if isinstance(cluster.provider, LocalProvider) else []
    made: dict[str, Any] = {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        "platform": {"apiImage": images["api"], "network": {"dnsAddresses": dns}},
        "networkPolicy": {"dns": {"cidrs": [f"{address}/32" for address in dns]}},
    }
    if server is not None:
        made["platform"]["database"] = database(server)
        made["platform"]["network"]["database"] = [{"cidr": server.address, "ports": [server.port]}]
        made["networkPolicy"]["egress"] = {"database": {"cidrs": [f"{server.address}/32"], "ports": [server.port]}}
    return made


def database(server: Server) -> dict[str, Any]:
    """Return the platform setting that gives every environment a database on `server`."""
    return {
        "host": server.address,
        "port": server.port,
        "sslMode": "Disable",
        "adminSecretRef": {"name": DATABASE_ADMIN},
    }


def create_namespace(tools: Tools) -> None:
    """Create the namespace of the operator."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    tools.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(namespace))


def hand_over(tools: Tools, server: Server) -> None:
    """Give the operator, whose namespace is there, the administrator of `server`."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": DATABASE_ADMIN,
            "namespace": NAMESPACE,
            "annotations": {"biospark.ai/servers": f"{server.address}:{server.port}"},
        },
        "stringData": {"username": SUPERUSER, "password": server.password},
    }
    tools.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(secret))


def install(
    cluster: Cluster,
    images: Mapping[str, str],
    report: Callable[[str], None] = print,
    server: Server | None = None,
) -> Tools:
    """Install or upgrade the chart and return when its pods are ready, with the tools to go on with.

    With a PostgreSQL `server` every environment gets a database on it.
    """
    tools = Tools(cluster.kubeconfig)
    if server is not None:
        create_namespace(tools)
        hand_over(tools, server)
    report(f"Installing the chart into the namespace {NAMESPACE}")
    tools.helm(
        "upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace",
        "--take-ownership", "--values", "-",
        text=json.dumps(values(cluster, images, server)),
    )  # fmt: skip
    try:
        tools.kubectl("rollout", "status", f"deployment/{RELEASE}", "-n", NAMESPACE, "--timeout=120s")
    except RuntimeError as error:
        pods = tools.kubectl("get", "pods,events", "-n", NAMESPACE, check=False)
        logs = tools.kubectl("logs", f"deployment/{RELEASE}", "-n", NAMESPACE, "--tail=30", check=False)
        raise RuntimeError(f"{error}\n{pods}\n{logs}") from None
    return tools


def watched(tools: Tools, name: str, seconds: float) -> Iterator[Mapping[str, Any]]:
    """Yield the environment as it is, and again whenever it changes, for at most `seconds`."""
    command = [str(Path(sys.prefix) / "bin" / "kubectl"), "get", "bse", name, "-o", "json", "--watch"]
    command += [f"--request-timeout={seconds:.0f}s"]
    decoder, text = json.JSONDecoder(), ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "KUBECONFIG": str(tools.kubeconfig)}
    ) as watch:
        try:
            for line in watch.stdout or ():
                text += line
                with contextlib.suppress(json.JSONDecodeError):
                    environment, _ = decoder.raw_decode(text)
                    text = ""
                    yield environment
        finally:
            watch.terminate()
