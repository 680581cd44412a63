"""How to get to a server: address and administrator, from Secrets of the operator's own namespace alone.

Every connection of the operator to PostgreSQL begins here, so here is decided whether there may be one: the Secrets
that an environment names have to be for its server (see `outside`), over a connection that is as safe as they demand.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from biospark_operator.api.v1alpha1.database import DatabaseServer, SslMode
from biospark_operator.api.v1alpha1.effective import database_server
from biospark_operator.api.v1alpha1.effective_spec import EffectiveDatabaseServer
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.clients.postgres.address import Address, Login
from biospark_operator.clients.postgres.servers import Servers
from biospark_operator.components import outside
from biospark_operator.components.outside import Endpoint, OperatorSecrets
from biospark_operator.engine.errors import RejectedError
from biospark_operator.objects import secret_data
from biospark_operator.objects.component import Cluster

if TYPE_CHECKING:
    from biospark_operator.clients.postgres.server import Server

DEFAULT_CA_KEY = "ca.crt"
#: On a Secret with an administrator: the weakest `sslMode` with which its password is sent anywhere.
WEAKEST = "biospark.ai/ssl-mode"
_ADMIN, _AUTHORITY = "spec.database.server.adminSecretRef", "spec.database.server.caSecretRef"
#: From the weakest to the strongest.
_STRENGTH = tuple(SslMode)


@dataclass(frozen=True)
class Access:
    """Opens servers with the Secrets of one namespace; `platform` is the server that the platform settings name."""

    cluster: Cluster
    servers: Servers
    namespace: str
    platform: DatabaseServer | None = None

    async def to(self, wanted: EffectiveDatabaseServer) -> Server:
        """Return the server. Raises `RejectedError` where a Secret is missing, incomplete, or not for this server."""
        admin = await self._read(wanted.admin_secret_ref.name, _ADMIN, wanted)
        self._check_mode(admin, wanted)
        authority = None
        if wanted.ca_secret_ref is not None:
            name, key = wanted.ca_secret_ref.name, wanted.ca_secret_ref.key or DEFAULT_CA_KEY
            (content,) = self._values(await self._read(name, _AUTHORITY, wanted), _AUTHORITY, key)
            authority = self._certificates(name, key, content)
        try:
            # An editor ends the last line of a file, and `--from-file` takes it as it is.
            login = Login(*(value.decode().rstrip("\r\n") for value in self._values(admin, _ADMIN, *_LOGIN)))
        except UnicodeDecodeError:
            raise self._invalid(
                wanted.admin_secret_ref.name, _ADMIN, "has a user or password that is not UTF-8 text"
            ) from None
        return self.servers.at(Address(wanted.host, wanted.port, wanted.ssl_mode, authority), login)

    @cached_property
    def _secrets(self) -> OperatorSecrets:
        if self.platform is None:
            return OperatorSecrets(self.cluster, self.namespace)
        names = [ref.name for ref in (self.platform.admin_secret_ref, self.platform.ca_secret_ref) if ref is not None]
        listed = frozenset({Endpoint(self.platform.host, self.platform.port)})
        return OperatorSecrets(self.cluster, self.namespace, dict.fromkeys(names, listed))

    async def _read(self, name: str, spec_field: str, wanted: EffectiveDatabaseServer) -> Manifest:
        secret = await self._secrets.for_server(name, spec_field, Endpoint(wanted.host, wanted.port))
        if secret is None:
            raise self._invalid(name, spec_field, "does not exist", f"create it, or correct {spec_field}")
        return secret

    def _check_mode(self, admin: Manifest, wanted: EffectiveDatabaseServer) -> None:
        """Raise where the connection would be less safe than the Secret, or the platform's own use of it, demands."""
        name = wanted.admin_secret_ref.name
        said = (admin["metadata"].get("annotations") or {}).get(WEAKEST)
        if said is not None and said not in _STRENGTH:
            raise self._invalid(name, _ADMIN, f"has no {', '.join(_STRENGTH)} in its annotation {WEAKEST}")
        demanded = SslMode(said) if said is not None else SslMode.DISABLE
        if self.platform is not None and self.platform.admin_secret_ref.name == name:
            demanded = max(demanded, database_server(self.platform).ssl_mode, key=_STRENGTH.index)
        if _STRENGTH.index(wanted.ssl_mode) < _STRENGTH.index(demanded):
            raise RejectedError(
                f"{self._secrets.ref(name).short} ({_ADMIN}) may not be used with sslMode {wanted.ssl_mode}; write "
                f"spec.database.server.sslMode: {demanded}"
                + ("" if demanded is SslMode.REQUIRE else " and the server's authority in caSecretRef"),
                reason=Reason.SECRET_USE_REFUSED,
            )

    def _certificates(self, name: str, key: str, content: bytes) -> bytes:
        try:
            found = outside.certificates(content)
        except ValueError:
            raise self._invalid(name, _AUTHORITY, f"has a broken certificate in its key {key}") from None
        if found is None:
            raise self._invalid(name, _AUTHORITY, f"has no certificate in its key {key}")
        return found

    def _values(self, secret: Manifest, spec_field: str, *keys: str) -> list[bytes]:
        found = secret_data.values(secret)
        if missing := [key for key in keys if not found.get(key)]:
            raise self._invalid(secret["metadata"]["name"], spec_field, f"has no key {' and no key '.join(missing)}")
        return [found[key] for key in keys]

    def _invalid(self, name: str, spec_field: str, fault: str, remedy: str = "correct it there") -> RejectedError:
        return RejectedError(
            f"{self._secrets.ref(name).short} ({spec_field}) {fault}; {remedy}",
            reason=Reason.DATABASE_SECRET_INVALID,
        )


_LOGIN = ("username", "password")
