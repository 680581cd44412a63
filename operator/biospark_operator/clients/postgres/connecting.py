"""Connections of psycopg whose refusal has an SQLSTATE. Used by `server`.

Of a refused connection libpq tells only what the server wrote, in the server's language. It can write the SQLSTATE
instead, if it is told so between starting the connection and waiting for it. psycopg has no way to do that, so libpq
is called directly: the very copy that psycopg uses, which its extension module finds.
"""

from __future__ import annotations

import ctypes
import re
import sys
from typing import Any, Self, cast

import psycopg
from psycopg import pq
from psycopg.abc import PQGenConn
from psycopg.waiting import Wait

#: libpq's PGVerbosity: what its messages have of a server's answer.
_DEFAULT, _SQLSTATE = 1, 3
_ANSWERED = re.compile(r":  ([0-9A-Z]{5})$", re.MULTILINE)
_libpq = ctypes.CDLL(sys.modules[pq.PGconn.__module__].__file__)
_libpq.PQsetErrorVerbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]


class _Telling:
    """Connects as psycopg does, step by step."""

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        made: Any = pq.PGconn.connect_start(conninfo.encode())
        _libpq.PQsetErrorVerbosity(made.pgconn_ptr, _SQLSTATE)
        while True:
            status = pq.PollingStatus.FAILED if made.status == pq.ConnStatus.BAD else made.connect_poll()
            if status == pq.PollingStatus.OK:
                break
            if status not in (pq.PollingStatus.READING, pq.PollingStatus.WRITING):
                raise psycopg.OperationalError(
                    f"connection failed: {made.get_error_message()}", pgconn=psycopg.errors.finish_pgconn(made)
                )
            wait = Wait.R if status == pq.PollingStatus.READING else Wait.W
            while not (yield made.socket, wait):
                pass
        _libpq.PQsetErrorVerbosity(made.pgconn_ptr, _DEFAULT)
        made.nonblocking = 1
        return cast("Self", cast("Any", cls)(made))


class AsyncConnection(_Telling, psycopg.AsyncConnection[Any]):
    """A connection for asyncio."""


class Connection(_Telling, psycopg.Connection[Any]):
    """A connection for a thread."""


def sqlstate(error: psycopg.Error) -> str | None:
    """Return the SQLSTATE that the server gave, also while connecting; None where it gave none.

    A server of several addresses counts as answering if one of them did.
    """
    if error.sqlstate:
        return error.sqlstate
    answered = _ANSWERED.findall(str(error))
    return answered[-1] if answered else None
