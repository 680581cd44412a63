"""OpenBao servers for tests: one in dev mode and one group for each worker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biospark_operator.clients.vault.login import Login
from biospark_operator.clients.vault.transport import Address
from dev.cluster.openbao import KUBERNETES, Node, Server
from tests.instances import of_worker

#: Whom tokens of ServiceAccounts are for.
AUDIENCE = "vault"
EVERYTHING = 'path "*" { capabilities = ["create", "read", "update", "delete", "list", "patch", "sudo"] }'


@contextmanager
def server(nodes: int = 0, purpose: str = "", audit: Path | None = None, *, usable: bool = True) -> Iterator[Server]:
    """Run a server of this worker; `purpose` gives a test that stops or seals it one of its own."""
    running = Server.of(of_worker("bao", purpose), nodes)
    try:
        running.up(audit=audit, usable=usable)
        yield running
    finally:
        running.down()


@dataclass
class Site:
    """A server as one test sees it: names that no other test uses, and roles to log in with."""

    server: Server
    #: Where the operator connects to.
    node: Node
    token_file: Path
    #: Namespace and name of the ServiceAccount that logs in.
    account: tuple[str, str]
    name: str = field(default_factory=lambda: f"t{uuid.uuid4().hex[:8]}")

    @property
    def address(self) -> Address:
        """Where the operator finds the server."""
        authority = self.server.authority
        return Address(self.node.url, authority=authority.read_bytes() if authority else None)

    def admit(self, policy: str | None = None, **fields: object) -> Login:
        """Make the operator's role, with a policy that allows everything unless another text is given."""
        self.request("PUT", f"sys/policies/acl/{self.name}-operator", {"policy": policy or EVERYTHING})
        namespace, account = self.account
        role = {
            "bound_service_account_names": [account],
            "bound_service_account_namespaces": [namespace],
            "audience": AUDIENCE,
            "token_policies": [f"{self.name}-operator"],
            "token_ttl": 600,
            **fields,
        }
        self.request("POST", f"auth/{KUBERNETES}/role/{self.name}-operator", role)
        return Login(KUBERNETES, f"{self.name}-operator", self.token_file)

    def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Ask the active process as root."""
        return self.server.request(method, path, body)

    def tokens(self) -> list[str]:
        """Return the accessors of the operator's tokens that are good."""
        listed = self.request("LIST", "auth/token/accessors")["data"]["keys"]
        found = (self.request("POST", "auth/token/lookup-accessor", {"accessor": key}) for key in listed)
        role = f"{self.name}-operator"
        return [t["data"]["accessor"] for t in found if t and (t["data"]["meta"] or {}).get("role") == role]

    def __enter__(self) -> Site:
        return self

    def __exit__(self, *_: object) -> None:
        self.request("DELETE", f"auth/{KUBERNETES}/role/{self.name}-operator")
        self.request("DELETE", f"sys/policies/acl/{self.name}-operator")
