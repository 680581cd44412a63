"""Reads and writes the values of Secrets. Pure; the only place that knows how they are encoded."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping

from biospark_operator.clients.kubernetes.objects import Manifest


def values(secret: Manifest | None) -> Mapping[str, bytes]:
    """Return the values of a Secret by key, without those that can't be read, which were written by no API server."""
    found: dict[str, bytes] = {}
    for key, encoded in ((secret or {}).get("data") or {}).items():
        with contextlib.suppress(binascii.Error, ValueError, TypeError):
            found[key] = base64.b64decode(encoded, validate=True)
    return found


def texts(secret: Manifest | None) -> Mapping[str, str]:
    """Return those values of a Secret that are text."""
    found: dict[str, str] = {}
    for key, value in values(secret).items():
        with contextlib.suppress(UnicodeDecodeError):
            found[key] = value.decode()
    return found


def encoded(value: str | bytes) -> str:
    """Return a value as it stands in `data`."""
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
