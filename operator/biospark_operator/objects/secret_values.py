"""Values of Secrets: the one place that knows how Kubernetes writes them down. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from biospark_operator.clients.kubernetes.objects import Manifest


def value(secret: Manifest, key: str) -> bytes:
    """Return a value, nothing where there is no such key. Raises `ValueError` where it can't be read."""
    return base64.b64decode((secret.get("data") or {}).get(key) or "", validate=True)


def values(secret: Manifest) -> Mapping[str, bytes]:
    """Return all values that can be read."""
    found = {}
    for key in secret.get("data") or {}:
        try:
            found[key] = value(secret, key)
        except ValueError:
            continue
    return found


def texts(secret: Manifest) -> Mapping[str, str]:
    """Return all values that are text."""
    found = {}
    for key, content in values(secret).items():
        try:
            found[key] = content.decode()
        except UnicodeDecodeError:
            continue
    return found


def encoded(content: bytes | str) -> str:
    """Return a value as it stands in the data of a Secret."""
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()
