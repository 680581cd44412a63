"""`spec.database`: the PostgreSQL server, the database of the environment, its schema and its credentials."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from biospark_operator.api.v1alpha1.constraints import Keyed, Text, quoted
from biospark_operator.api.v1alpha1.durations import Between
from biospark_operator.api.v1alpha1.formats import HostName, Port, SecretReference, WholeSecretReference
from biospark_operator.api.v1alpha1.model import Model, Rule

RESERVED_NAMES = (
    "postgres", "template0", "template1", "rdsadmin", "cloudsqladmin", "azure_maintenance", "azure_sys",
)  # fmt: skip

Identifier = Annotated[
    str,
    Text(
        "write 1 to 63 letters, digits, hyphens and underscores; begin with a letter or underscore",
        pattern="^[A-Za-z_][A-Za-z0-9_-]{0,62}$",
        max_length=63,
    ),
]
ExtensionVersion = Annotated[
    str,
    Text("write a version of the extension, such as 1.3", pattern="^[0-9A-Za-z][0-9A-Za-z._-]*$", max_length=63),
]
MigrationTarget = Annotated[
    str,
    Text("write head or the id of a migration, such as 0003", pattern="^[0-9A-Za-z_]+$", max_length=64),
]


class SslMode(StrEnum):
    """How the connection to the server is protected."""

    DISABLE = "Disable"
    REQUIRE = "Require"
    VERIFY_CA = "VerifyCA"
    VERIFY_FULL = "VerifyFull"


class DatabaseServer(Model):
    """The PostgreSQL server that holds the database."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "caSecretRef",
            "write the Secret with the certificate authority in caSecretRef, or choose sslMode Require or Disable",
            cel="!has(self.sslMode) || !(self.sslMode in ['VerifyCA', 'VerifyFull']) || has(self.caSecretRef)",
            holds=lambda s: s.ssl_mode not in {SslMode.VERIFY_CA, SslMode.VERIFY_FULL} or s.ca_secret_ref is not None,
        ),
    )

    host: HostName = Field(description="Host name or address of the server.")
    port: Port = Field(5432, description="Port of the server, 1 to 65535. Default 5432.")
    ssl_mode: SslMode | None = Field(
        None,
        description="Disable: no TLS. Require: TLS; the certificate is verified only where `caSecretRef` is given. "
        "VerifyCA: the certificate is verified. VerifyFull: the host name too. Default VerifyFull where `caSecretRef` "
        "is given, else Require.",
    )
    ca_secret_ref: SecretReference | None = Field(
        None,
        description="Secret with the certificate authority of the server. Default key `ca.crt`. Its annotation "
        "`biospark.ai/servers` has to list the server.",
    )
    admin_secret_ref: WholeSecretReference = Field(
        description="Secret with the keys `username` and `password` of a role that may create databases and roles. Its "
        "annotation `biospark.ai/servers` has to list the server, as `host:port`."
    )


class Extension(Model):
    """A PostgreSQL extension of the database."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "schema",
            "choose a schema that does not begin with pg_: PostgreSQL reserves such names",
            cel="!has(self.schema) || !self.schema.startsWith('pg_')",
            holds=lambda s: s.schema_name is None or not s.schema_name.startswith("pg_"),
        ),
    )

    name: Identifier = Field(description="Name of the extension, such as `pg_trgm`.")
    version: ExtensionVersion | None = Field(None, description="Version. Default: the server's default version.")
    schema_name: Identifier | None = Field(
        None,
        alias="schema",
        description="Schema that holds its objects. Default: the extension's own choice.",
    )


class MigrationPolicy(StrEnum):
    """Whether pending migrations are run."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class Migrations(Model):
    """How the schema of the API follows its version."""

    policy: MigrationPolicy = Field(
        MigrationPolicy.AUTOMATIC,
        description="Automatic: pending migrations are run. Manual: they are only reported. Default Automatic.",
    )
    target: MigrationTarget = Field(
        "head", description="Migration to bring the schema to. Default `head`, the newest one."
    )
    allow_destructive: bool = Field(
        False,
        description="Whether migrations may run that destroy data. Default false: they are reported and wait.",
    )


class Credentials(Model):
    """The roles with which the API logs in."""

    rotation_interval: Annotated[timedelta, Between("1h", "87600h")] | None = Field(
        None,
        description="How often the password of the API is replaced, at least `1h`. Two users alternate, so there is "
        "no outage. Default by profile; never in Development.",
    )


_RESERVED_CEL = ", ".join(quoted(name) for name in RESERVED_NAMES)


class Database(Model):
    """The database of the environment."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "name",
            f"choose another name: {', '.join(RESERVED_NAMES)} belong to PostgreSQL or its hosting",
            cel=f"!has(self.name) || !(self.name.lowerAscii() in [{_RESERVED_CEL}])",
            holds=lambda s: s.name is None or s.name.lower() not in RESERVED_NAMES,
        ),
        Rule(
            "name",
            "choose a name that does not begin with pg_: PostgreSQL reserves such names of roles",
            cel="!has(self.name) || !self.name.startsWith('pg_')",
            holds=lambda s: s.name is None or not s.name.startswith("pg_"),
        ),
    )

    server: DatabaseServer | None = Field(
        None, description="PostgreSQL server. Default: the platform setting of the operator."
    )
    name: Identifier | None = Field(
        None,
        description="Name of the database, 1 to 63 bytes. Default `biospark_<metadata.name>` with `-` as `_`. "
        "Immutable, and can't be added or removed after creation.",
    )
    connection_limit: int | None = Field(
        None, ge=1, le=100000, description="Connections that the database accepts at once. Default: no limit."
    )
    extensions: Annotated[tuple[Extension, ...], Keyed("name", 32)] = Field(
        (), description="Extensions to create and keep at their version. Removing one here does not drop it."
    )
    migrations: Migrations = Field(default_factory=Migrations, description="How the schema is brought up to date.")
    credentials: Credentials = Field(default_factory=Credentials, description="Credentials of the API.")
