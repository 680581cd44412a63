"""How to get to a server: address and administrator, from Secrets of the operator's own namespace alone.

So nobody reads a foreign Secret by naming it in an environment.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from biospark_operator.api.v1alpha1.effective_spec import EffectiveDatabaseServer
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.objects import ObjectRef
from biospark_operator.clients.postgres import Address, Server, Servers
from biospark_operator.clients.postgres_session import Login
from biospark_operator.components.objects import Cluster
from biospark_operator.engine.errors import RejectedError

DEFAULT_CA_KEY = "ca.crt"


@dataclass(frozen=True)
class Access:
    """Opens servers with the Secrets of one namespace."""

    cluster: Cluster
    servers: Servers
    namespace: str

    async def to(self, wanted: EffectiveDatabaseServer) -> Server:
        """Return the server. Raises `RejectedError` where a Secret is missing or incomplete."""
        admin = await self._values(wanted.admin_secret_ref.name, "adminSecretRef", "username", "password")
        authority = None
        if wanted.ca_secret_ref is not None:
            key = wanted.ca_secret_ref.key or DEFAULT_CA_KEY
            (authority,) = await self._values(wanted.ca_secret_ref.name, "caSecretRef", key)
            if b"-----BEGIN CERTIFICATE-----" not in authority:
                raise self._invalid(wanted.ca_secret_ref.name, "caSecretRef", f"has no certificate in its key {key}")
        try:
            login = Login(*(value.decode() for value in admin))
        except UnicodeDecodeError:
            raise self._invalid(
                wanted.admin_secret_ref.name, "adminSecretRef", "has a user or password that is no text in UTF-8"
            ) from None
        return self.servers.at(Address(wanted.host, wanted.port, wanted.ssl_mode, authority), login)

    async def _values(self, name: str, field: str, *keys: str) -> list[bytes]:
        secret = await self.cluster.get(ObjectRef("v1", "Secret", self.namespace, name))
        if secret is None:
            raise self._invalid(name, field, "does not exist")
        data = secret.get("data") or {}
        try:
            values = [base64.b64decode(data.get(key) or "", validate=True) for key in keys]
        except binascii.Error:
            raise self._invalid(name, field, "can't be read") from None
        if missing := [key for key, value in zip(keys, values, strict=True) if not value]:
            raise self._invalid(name, field, f"has no key {' and no key '.join(missing)}")
        return values

    def _invalid(self, name: str, field: str, fault: str) -> RejectedError:
        return RejectedError(
            f"Secret {self.namespace}/{name} (spec.database.server.{field}) {fault}; correct it there",
            reason=Reason.DATABASE_SECRET_INVALID,
        )
