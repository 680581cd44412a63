"""`spec.gateway`: the Kong gateway in front of the API."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from biospark_operator.api.v1alpha1.constraints import Text, Unique
from biospark_operator.api.v1alpha1.durations import Between
from biospark_operator.api.v1alpha1.formats import HostName, HttpUrl, Port, SecretReference
from biospark_operator.api.v1alpha1.model import Model, Rule

Workspace = Annotated[
    str,
    Text(
        "write a workspace name of letters, digits, dots, hyphens and underscores",
        pattern="^[A-Za-z0-9._-]+$",
        max_length=63,
    ),
]
Origin = Annotated[
    str,
    Text(
        "write an origin without a path, such as https://app.example.com, or * for every origin",
        pattern=r"^(\*|https?://[^/\s@]+)$",
        max_length=253,
    ),
]


class GatewayProvider(StrEnum):
    """Through what the gateway is configured."""

    KONG_ADMIN_API = "KongAdminAPI"
    KONG_INGRESS = "KongIngress"
    NONE = "None"


class Kong(Model):
    """The Admin API of a Kong gateway."""

    admin_url: HttpUrl = Field(alias="adminURL", description="URL of the Admin API, such as `https://kong-admin:8444`.")
    admin_token_secret_ref: SecretReference | None = Field(
        None, description="Secret with the token of the Admin API. Default key `token`. Default: no token."
    )
    workspace: Workspace | None = Field(None, description="Kong workspace. Default: none.")
    ca_secret_ref: SecretReference | None = Field(
        None, description="Secret with the certificate authority of the Admin API. Default key `ca.crt`."
    )


class LimitBy(StrEnum):
    """What requests are counted by."""

    CONSUMER = "Consumer"
    IP = "IP"
    SERVICE = "Service"


class RateLimitPolicy(StrEnum):
    """Where requests are counted."""

    LOCAL = "Local"
    CLUSTER = "Cluster"
    REDIS = "Redis"


class Redis(Model):
    """The Redis server that counts requests for all gateway nodes together."""

    host: HostName = Field(description="Host name or address of the server.")
    port: Port = Field(6379, description="Port of the server, 1 to 65535. Default 6379.")
    password_secret_ref: SecretReference | None = Field(
        None, description="Secret with the password. Default key `password`. Default: no password."
    )


class RateLimit(Model):
    """How many requests the gateway lets through."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "redis",
            "write redis exactly when policy is Redis: add redis.host, or remove redis, or change policy",
            cel="has(self.redis) == (has(self.policy) && self.policy == 'Redis')",
            holds=lambda s: (s.redis is not None) == (s.policy is RateLimitPolicy.REDIS),
        ),
    )

    requests_per_minute: int = Field(
        1000, ge=1, le=10_000_000, description="Requests per minute that are let through. Default 1000."
    )
    limit_by: LimitBy = Field(
        LimitBy.CONSUMER,
        description="Requests are counted per consumer, client address or service. Default Consumer.",
    )
    policy: RateLimitPolicy = Field(
        RateLimitPolicy.LOCAL,
        description="Local: each gateway node counts for itself. Cluster: in the gateway's database, refused where "
        "it runs without one. Redis: in a Redis server. Default Local.",
    )
    redis: Redis | None = Field(None, description="Redis server; required when policy is Redis, refused otherwise.")


class GatewayJwt(Model):
    """Verification of tokens at the gateway."""

    enabled: bool = Field(True, description="Whether the gateway verifies tokens. Default true.")
    maximum_token_lifetime: Annotated[timedelta, Between("1m", "8760h")] = Field(
        timedelta(hours=24),
        description="Longest lifetime of a token that the gateway accepts, `1m` to `8760h`. Default `24h`.",
    )


class Cors(Model):
    """Cross-origin requests of browsers."""

    origins: Annotated[tuple[Origin, ...], Unique(32, min_items=1)] = Field(
        description="Origins that browsers may send requests from, such as `https://app.example.com`."
    )


class Gateway(Model):
    """The gateway in front of the API."""

    provider: GatewayProvider = Field(
        GatewayProvider.KONG_ADMIN_API,
        description="KongAdminAPI: the operator calls the Admin API. KongIngress: it writes resources of the Kong "
        "Ingress Controller. None: no gateway. Default KongAdminAPI.",
    )
    kong: Kong | None = Field(None, description="Kong's Admin API. Default: the platform setting of the operator.")
    rate_limit: RateLimit = Field(default_factory=RateLimit, description="How many requests are let through.")
    jwt: GatewayJwt = Field(default_factory=GatewayJwt, description="Verification of tokens at the gateway.")
    cors: Cors | None = Field(None, description="Cross-origin requests. Default: refused.")
