"""Keeps what would change something from leaving a process that may not act any more. For all HTTP clients here.

`fence` is for requests that are not sent yet, `withdraw` for those that were not delivered.

A step is allowed before it begins, but its request may leave much later: it waits for its turn and for a
connection, and the process may have been paused in between. So it is asked once more at the last moment, when
nothing but the write to the socket is left.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import aiohttp

#: Returns while this process may change something outside, and raises otherwise.
MayAct = Callable[[], None]

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


def fence(may_act: MayAct) -> aiohttp.TraceConfig:
    """Return what makes a session of aiohttp raise what `may_act` raises in place of sending a request.

    Reads are let through.
    """

    async def about_to_send(
        _: aiohttp.ClientSession, __: SimpleNamespace, request: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if request.method not in _READS:
            may_act()

    config = aiohttp.TraceConfig()
    # aiohttp calls this with the connection at hand, and sends the headers after it.
    config.on_request_headers_sent.append(about_to_send)
    return config


def withdraw() -> None:
    """Make the kernel throw away what is not delivered yet when the process ends, and reset its connections.

    Without that it goes on delivering for minutes what was written, for instance when the network comes back.
    """
    at_once = struct.pack("ii", 1, 0)
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(file.name))) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
