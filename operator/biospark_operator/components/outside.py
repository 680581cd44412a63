"""The one way to a Secret of the operator's namespace, for all that components reach outside of their environments.

Environments name such Secrets, and who may write environments chooses what they name. So a name opens nothing: each
Secret says itself, by an annotation, for which servers and in which environments it may be used. Only who may write
Secrets of the operator's namespace can do that. What the platform settings list together with a server counts as said.

The Secret is read, and asked, each time before it is used: also when something is taken down, and after its
annotation was changed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.engine.errors import RejectedError
from biospark_operator.objects.component import Cluster

#: On a Secret of the operator's namespace: its servers, as in "db.example.com:5432, 10.0.0.5:5432".
SERVERS = "biospark.ai/servers"
#: There as well: into which environments it may be copied, as in "dev, staging", or "*" for all.
ENVIRONMENTS = "biospark.ai/environments"

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server by the name that is connected to. Two names of one server are two endpoints: who answers to the other
    one is nobody's promise."""

    host: str
    port: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", _canonical(self.host))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class OperatorSecrets:
    """The Secrets of the operator's namespace, handed out for what they say they are for."""

    cluster: Cluster
    namespace: str
    #: What the platform settings list: servers by the name of the Secret that may be used for them.
    listed: Mapping[str, frozenset[Endpoint]] = field(default_factory=dict)

    async def for_server(self, name: str, spec_field: str, server: Endpoint) -> Manifest | None:
        """Return the Secret, None where it does not exist. Raises `RejectedError` where it is not for `server`."""
        secret = await self.cluster.get(self.ref(name))
        if secret is None or server in self.listed.get(name, ()):
            return secret
        if str(server) not in {_normal(entry) for entry in _entries(secret, SERVERS)}:
            why = _refused(secret, spec_field, SERVERS, str(server), "the server")
            raise RejectedError(why, reason=Reason.SECRET_USE_REFUSED)
        return secret

    def ref(self, name: str) -> ObjectRef:
        """Return what a name refers to."""
        return ObjectRef("v1", "Secret", self.namespace, name)


def not_for_environment(secret: Manifest, spec_field: str, environment: str) -> str | None:
    """Say that a Secret may not be copied into an environment, or None where it may."""
    if {environment, "*"} & set(_entries(secret, ENVIRONMENTS)):
        return None
    return _refused(secret, spec_field, ENVIRONMENTS, environment, "the environment")


def certificates(content: bytes) -> bytes | None:
    """Return the certificates in PEM that there are, and nothing else of what is there; None where there is none.

    They are read and written anew, so no key and no text beside them gets any further. Raises `ValueError` where a
    certificate is broken.
    """
    found = [x509.load_pem_x509_certificate(block) for block in _CERTIFICATE.findall(content)]
    return b"".join(one.public_bytes(Encoding.PEM) for one in found) or None


def _refused(secret: Manifest, spec_field: str, annotation: str, entry: str, what: str) -> str:
    return (
        f"{ObjectRef.of(secret).short} ({spec_field}) may not be used for {what} {entry}; an administrator of the "
        f"namespace {secret['metadata']['namespace']} has to add {entry} to its annotation {annotation}"
    )


def _entries(secret: Manifest, annotation: str) -> list[str]:
    said = (secret["metadata"].get("annotations") or {}).get(annotation) or ""
    return [entry for part in said.split(",") if (entry := part.strip())]


def _normal(entry: str) -> str:
    """Return how an `Endpoint` is written that somebody wrote. What is none is returned as it is, and equals none."""
    host, _, port = entry.rpartition(":")
    if not port.isascii() or not port.isdigit():
        return entry
    return str(Endpoint(host.removeprefix("[").removesuffix("]"), int(port)))


def _canonical(host: str) -> str:
    """Return the one way to write an address, or a name in lower case."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()
