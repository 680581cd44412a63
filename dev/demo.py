"""`make demo`: a real cluster, the operator from its chart, an environment coming up, and what to try next.

As root on Linux everything runs as pods on a node of its own. Without root there is only a control plane: the
operator then runs as a process of this user, and the API's pods stay pending, which the demo says.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from dev import deploy
from dev.cluster import Cluster, ClusterError, Size, instance
from dev.cluster.local import LocalProvider
from dev.cluster.postgres import Server
from dev.cluster.size import missing_for_node
from dev.deploy import CHECKOUT, Tools

EXAMPLE = CHECKOUT / "examples" / "development.yaml"
#: The major version of the server that holds the databases.
POSTGRES = 18
#: Seconds until the environment has to be ready.
PATIENCE = 180.0


def main() -> int:
    """Run the demo; returns the exit code."""
    began = time.monotonic()
    missing = missing_for_node() if os.environ.get("CLUSTER", "") in ("", "local") else ""
    cluster = Cluster.for_instance()
    try:
        with _step("Starting a Kubernetes cluster on this machine"):
            cluster.up(Size.CONTROL_PLANE if missing else Size.NODE, report=_say)
        server = _server(cluster)
        if server is not None:
            with _step(f"Starting PostgreSQL {POSTGRES}"):
                server.up()
        tools = _operator_as_process(cluster, server) if missing else _operator_as_pods(cluster, server)
        wanted = _wanted(server)
        name = wanted["metadata"]["name"]
        with _step(f"kubectl apply -f {EXAMPLE.relative_to(CHECKOUT)}, with deletionPolicy: Delete"):
            tools.kubectl("apply", "-f", "-", text=yaml.safe_dump(wanted))
            environment = _followed(
                tools, name, until=("WorkloadReady", "Unschedulable") if missing else ("Ready", "Succeeded")
            )
    except (ClusterError, RuntimeError) as error:
        print(f"\nThe demo failed: {error}\n\n`make demo` goes on where it stopped.", file=sys.stderr)
        return 1
    _show(tools, name, environment)
    if not missing:
        _call(tools, environment)
        if server is not None:
            _log_in(tools, environment, wanted["spec"]["api"]["bootstrapAdmin"]["email"])
    _next_steps(cluster, name, environment, missing, time.monotonic() - began)
    return 0


def _server(cluster: Cluster) -> Server | None:
    """The PostgreSQL server beside the cluster, at an address that pods reach; None where that can't be known."""
    if not isinstance(cluster.provider, LocalProvider):
        return None
    return Server.of(instance.default_name(), POSTGRES, cluster.host_address)


def _wanted(server: Server | None) -> dict[str, Any]:
    """The example; without a database nobody could log in, so there it asks for no administrator.

    Of a demo no data are kept: an environment of the same name that comes later would not own them.
    """
    wanted: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    wanted["spec"]["deletionPolicy"] = "Delete"
    if server is None:
        del wanted["spec"]["api"]["bootstrapAdmin"]
    return wanted


def _operator_as_pods(cluster: Cluster, server: Server | None) -> Tools:
    with _step("Building the images of the operator and the API"):
        images = cluster.build_project_images(report=_say)
    with _step("helm install charts/biospark-operator"):
        return deploy.install(cluster, images, report=_say, server=server)


def _operator_as_process(cluster: Cluster, server: Server | None) -> Tools:
    """Run the operator as a process of this user, beside a control plane without a node."""
    tools = Tools(cluster.kubeconfig)
    with _step("Starting the operator as a process (there is no node for pods)"):
        tools.define()
        deploy.create_namespace(tools)
        log = _state(cluster) / "operator.log"
        _stop_process(cluster)
        settings = {"LOG_FORMAT": "text", "HTTP_HOST": "127.0.0.1", "HTTP_PORT": "0", "LEADER_ELECTION": "false"}
        environment = {f"BIOSPARK_OPERATOR_{key}": value for key, value in settings.items()}
        environment |= {"KUBECONFIG": str(cluster.kubeconfig)}
        environment |= {"BIOSPARK_OPERATOR_PLATFORM__API_IMAGE": "localhost/biospark/api:dev"}
        if server is not None:
            deploy.hand_over(tools, server)
            environment |= {"BIOSPARK_OPERATOR_PLATFORM__DATABASE": json.dumps(deploy.database(server))}
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "biospark_operator.runtime.main"],
                env={**os.environ, **environment}, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        (_state(cluster) / "operator.pid").write_text(str(process.pid))
        _say(f"its log: {log}")
    return tools


def _state(cluster: Cluster) -> Path:
    return cluster.kubeconfig.parent


def _stop_process(cluster: Cluster) -> None:
    """End the operator's process that an earlier demo left, if it is still that."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError):
        pid = int((_state(cluster) / "operator.pid").read_text())
        if b"biospark_operator" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, 15)


def _followed(tools: Tools, name: str, until: tuple[str, str]) -> Mapping[str, Any]:
    """Print each change of the environment's conditions until one of the type and with the reason `until` is there."""
    shown: dict[str, tuple[str, str]] = {}
    for environment in deploy.watched(tools, name, PATIENCE):
        for condition in environment.get("status", {}).get("conditions", ()):
            now = (condition["status"], condition["message"])
            if shown.get(condition["type"]) != now:
                shown[condition["type"]] = now
                _say(f"{condition['type']:<16} {condition['status']:<8} {condition['message']}")
        if any((c["type"], c["reason"]) == until for c in environment.get("status", {}).get("conditions", ())):
            return environment
    described = tools.kubectl("describe", "bse", name, check=False)
    raise RuntimeError(f"the environment {name} was not ready within {PATIENCE:.0f} s\n{described}")


def _show(tools: Tools, name: str, environment: Mapping[str, Any]) -> None:
    """Print the status as a user reads it."""
    print(f"\n$ kubectl get bse\n{tools.kubectl('get', 'bse')}")
    print(f"$ kubectl get bse {name} -o yaml   # .status.conditions")
    for condition in environment["status"]["conditions"]:
        row = (condition["type"], condition["status"], condition["reason"], condition["message"])
        print("{:<16} {:<8} {:<16} {}".format(*row))
    namespace = environment["status"]["namespace"]
    kinds = "deployments,pods,services,networkpolicies,roles,resourcequotas"
    print(f"\n$ kubectl get {kinds} -n {namespace}\n{tools.kubectl('get', kinds, '-n', namespace)}")


def _call(tools: Tools, environment: Mapping[str, Any]) -> None:
    """Ask the API through its Service, as this machine reaches the cluster's addresses."""
    namespace = environment["status"]["namespace"]
    address = tools.kubectl("get", "service", "biospark-api", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    url = f"http://{address}/readyz"
    with urllib.request.urlopen(url, timeout=10) as answer:
        print(f"$ curl {url}\n{answer.read().decode()}")


#: Logs in and works with patients, as anybody may do by hand.
LOG_IN = """\
url=http://$(kubectl get service biospark-api -n {namespace} -o jsonpath='{{.spec.clusterIP}}')
password=$(kubectl get secret biospark-api -n {namespace} -o jsonpath='{{.data.bootstrap-admin-password}}' | base64 -d)
token=$(curl -sS --fail $url/api/v1/auth/login --json '{{"email": "{email}", "password": "'$password'"}}' \\
  | python3 -c 'import json, sys; print(json.load(sys.stdin)["token"])')
curl -sS --fail $url/api/v1/patients -H "Authorization: Bearer $token" \\
  --json '{{"first_name": "Ada", "last_name": "Lovelace", "date_of_birth": "1985-12-10"}}'
curl -sS --fail $url/api/v1/patients -H "Authorization: Bearer $token"
"""


def _log_in(tools: Tools, environment: Mapping[str, Any], email: str) -> None:
    """Show how to log in, create a patient and list patients, and do it."""
    commands = LOG_IN.format(namespace=environment["status"]["namespace"], email=email)
    print(f"Log in as the first administrator, create a patient, list patients:\n\n{textwrap.indent(commands, '  ')}")
    if shutil.which("curl") is None:
        print("There is no curl on this machine to show it with.")
        return
    path = f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    shown = commands.replace("\ncurl", "; echo\ncurl")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shown],
        env={**os.environ, "PATH": path, "KUBECONFIG": str(tools.kubeconfig)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"these commands failed:\n{done.stderr.strip()}")
    print(f"which answers\n{textwrap.indent(done.stdout.strip(), '  ')}\n")


def _next_steps(cluster: Cluster, name: str, environment: Mapping[str, Any], missing: str, seconds: float) -> None:
    namespace = environment["status"]["namespace"]
    kubectl = os.path.relpath(Path(sys.prefix) / "bin" / "kubectl")
    print(f"\nThe demo is up after {seconds:.0f} s and stays up. Try:\n")
    print(f"  export KUBECONFIG={cluster.kubeconfig}")
    print(f"  alias kubectl={kubectl}\n")
    steps = {
        f"kubectl delete deployment biospark-api -n {namespace}": "it comes back",
        f"kubectl label ns {namespace} pod-security.kubernetes.io/enforce=privileged --overwrite": "it is put back",
        f"kubectl get bse {name} -o jsonpath='{{.status.database}}'": "its database, schema, and the login in use",
        f"kubectl annotate bse {name} biospark.ai/rotate-requested-at=now": "new credentials, new pods, no outage",
        f"kubectl describe bse {name}": "what was repaired, and why things are as they are",
        f'kubectl patch bse {name} --type=merge -p \'{{"spec":{{"api":{{"replicas":2}}}}}}\'': "rolls out",
        "kubectl apply -f examples/plan-only.yaml": "then: kubectl get bse plan-only -o yaml",
        f"kubectl delete bse {name}": "leaves nothing, by deletionPolicy: Delete",
    }
    for command, effect in steps.items():
        print(f"  {command}\n      # {effect}")
    if missing:
        print(f"\nThis is the small demo: {missing}.")
        print("The API's pods need a node; WorkloadReady says so. Run `make demo` as root on Debian for all of it.")
    print("\nStop it with: make demo-down")


@contextlib.contextmanager
def _step(title: str) -> Iterator[None]:
    print(f"==> {title}", flush=True)
    began = time.monotonic()
    yield
    print(f"    done in {time.monotonic() - began:.1f} s", flush=True)


def _say(text: str) -> None:
    print(f"    {text}", flush=True)


def down() -> int:
    """Stop the demo and remove every trace of it; returns the exit code."""
    cluster = Cluster.for_instance()
    _stop_process(cluster)
    if isinstance(cluster.provider, LocalProvider):
        Server.of(instance.default_name(), POSTGRES).down()
    cluster.down(report=print)
    return 0


if __name__ == "__main__":
    sys.exit(down() if sys.argv[1:] == ["down"] else main())
