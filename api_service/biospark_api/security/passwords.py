"""Passwords: argon2id in one thread of low priority, so that a flood of logins slows no other request.

One check takes 20 ms of a core. In the event loop that would stop everything; in a pool of threads at normal
priority it would take the core from the loop. The queue is short: beyond it a login is refused at once.
"""

import asyncio
import contextlib
import os
import re
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError
from fastapi.exceptions import RequestValidationError

from biospark_api.http.problems import ProblemError
from biospark_api.security.strength import is_guessable

_Result = TypeVar("_Result")
_NICE = 10
_WEAK = "Input should be harder to guess; several words that have nothing to do with each other are"
_HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)  # as OWASP recommends


class Passwords:
    """Hashes and checks."""

    def __init__(self, queue: int) -> None:
        self.waiting = 0
        self._queue = queue
        self._thread = ThreadPoolExecutor(1, "passwords", initializer=_be_nice)
        # For users who do not exist: the answer takes as long as for those who do.
        self._dummy = _HASHER.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """The text to store; raises the 503 problem when too many wait."""
        return await self._run(lambda: _HASHER.hash(password))

    async def new(self, password: str, about: str | None = None) -> str:
        """The text to store for a password that a user is to have, whose address is `about`.

        Raises the framework's validation error when it is easy to guess, and the 503 problem.
        """
        words = [about, *about.split("@"), *re.split(r"[@._+-]", about)] if about else []
        if await self._run(lambda: is_guessable(password, words)):
            raise RequestValidationError([{"type": "weak", "loc": ("body", "password"), "msg": _WEAK}])
        return await self.hash(password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is right; never so without a stored hash. Raises the 503 problem."""
        right = await self._run(lambda: _verify(stored or self._dummy, password))
        return right and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than those of today."""
        return _HASHER.check_needs_rehash(stored)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def refuse_beyond_queue(self) -> None:
        """Raise the 503 problem when too many wait."""
        if self.waiting >= self._queue:
            raise ProblemError(503, "Too many logins at once; try again.", headers={"Retry-After": "1"})

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        self.refuse_beyond_queue()
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self.waiting -= 1


def _verify(stored: str, password: str) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _be_nice() -> None:
    # On Linux a thread has a priority of its own. Elsewhere this would slow the process, so it is not done.
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
