"""Fields whose part of the environment this version of the operator does not manage yet.

Such a field is accepted at its default, which asks for nothing; any other value is reported, because ignoring
it would be taken for success. `NOT_MANAGED` is the table: when a part comes to be managed, its rows move to
`MANAGED`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from biospark_operator.api.v1alpha1.model import Model
from biospark_operator.api.v1alpha1.spec import Spec

MANAGED = frozenset(
    {
        "profile",
        "host",
        "mode",
        "suspend",
        "interval",
        "deletionPolicy",
        "deletionProtection",
        "adoptionPolicy",
        "namespace",
        "access",
        "registry",
        "network",
        "database.server",
        "database.name",
        "database.connectionLimit",
        "database.extensions",
        "database.migrations",
        "database.credentials",
        "api.image",
        "api.replicas",
        "api.autoscaling",
        "api.resources",
        "api.tokenLifetime",
        "api.bootstrapAdmin",
        "api.eraseDeletedDays",
    }
)
"""Fields, with everything below them, that have an effect."""

NOT_MANAGED: Mapping[str, str] = MappingProxyType(
    {
        "mesh": "the service mesh",
        "secrets": "secrets in Vault",
        "certificate": "the certificate",
        "gateway": "the gateway",
        "monitoring": "monitoring",
        "logging": "logging",
        "qualityGates": "quality gates",
    }
)
"""Fields, with everything below them, that have no effect yet, and what they would configure."""

ASKS_FOR_NOTHING = "None"
"""The provider of a part that is not wanted; it is no request, whatever the default is."""


@dataclass(frozen=True)
class UnsupportedField:
    """A field that has no effect in this version."""

    path: str
    """In JSON form, such as `spec.mesh.provider`."""
    message: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def unsupported_fields(spec: Spec) -> list[UnsupportedField]:
    """Every field that the user set and that this version would ignore, in the order of the spec."""
    return [
        UnsupportedField(f"spec.{path}", f"remove it: this version does not manage {part} yet")
        for path in _requests(spec)
        if (part := not_managed(path)) is not None
    ]


def not_managed(path: str) -> str | None:
    """What the field would configure, or None where it has an effect already."""
    return next((part for prefix, part in NOT_MANAGED.items() if f"{path}.".startswith(f"{prefix}.")), None)


def _requests(model: Model, prefix: str = "") -> Iterator[str]:
    """The paths of all fields that are not at their default, objects with a default looked into."""
    for name, field in type(model).model_fields.items():
        value, path = getattr(model, name), f"{prefix}{field.alias}"
        default = field.get_default(call_default_factory=True)
        if isinstance(value, Model) and isinstance(default, Model):
            yield from _requests(value, f"{path}.")
        elif value != default and not (isinstance(value, StrEnum) and value == ASKS_FOR_NOTHING):
            yield path
