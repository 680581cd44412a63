"""Gives certificates to libraries that take files only, without a file on any disk."""

from __future__ import annotations

import os


def in_memory(content: bytes | None) -> int | None:
    """Return the descriptor of a file in memory, for `/proc/self/fd`. Whoever asked closes it."""
    if content is None:
        return None
    descriptor = os.memfd_create("authority")
    os.write(descriptor, content)
    return descriptor
