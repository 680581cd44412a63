"""Where a PostgreSQL server is, and who logs in there. Imports no driver."""

from __future__ import annotations

from dataclasses import dataclass, field

from biospark_operator.api.v1alpha1.database import SslMode

#: Where there is no database of the environment yet.
MAINTENANCE = "postgres"
#: What libpq calls the modes.
SSL_MODES = {
    SslMode.DISABLE: "disable",
    SslMode.REQUIRE: "require",
    SslMode.VERIFY_CA: "verify-ca",
    SslMode.VERIFY_FULL: "verify-full",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how the way to it is protected; `authority` is a certificate in PEM."""

    host: str
    port: int
    ssl_mode: SslMode
    authority: bytes | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """A user and its password, which is never shown."""

    user: str
    password: str = field(repr=False)
