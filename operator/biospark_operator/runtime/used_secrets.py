"""Which Secrets of the operator's namespace something refers to: when one of them changes, its users are woken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

#: What fields end in that name such a Secret, as in `pullSecretRef` and `adminSecretRef`.
_SUFFIX = "SecretRef"


def secrets_of(spec: object) -> frozenset[str]:
    """Return the names of all Secrets that a specification, or the platform settings, refer to (as JSON)."""
    return frozenset(_named(spec))


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            if str(key).endswith(_SUFFIX) and isinstance(below, Mapping) and below.get("name"):
                yield str(below["name"])
            else:
                yield from _named(below)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named(item)
