"""Waiting for sockets of the database. `pool` gives all its connections one `Sockets`.

psycopg has the event loop watch a socket anew for each answer: with uvloop that is a timer and six calls of the kernel,
a seventh of what a request costs. To leave it watched is no way out, since libpq closes a socket whenever it breaks,
and the loop would go on to watch its number, which may be a client's by then. So the loop watches one epoll object,
which the kernel keeps right, and a socket is armed in there for one answer at a time.
"""

import asyncio
import select

_LOOK_SECONDS = 0.25


class Sockets:
    """Tells when a socket has something to read, or has broken. Belongs to the event loop that runs when it is made."""

    def __init__(self, patience: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience = patience
        self._deadlines: dict[int, float] = {}
        self._watch = self._loop.call_later(_LOOK_SECONDS, self._look)
        self._poll = select.epoll()
        self._waiters: dict[int, asyncio.Future[None]] = {}
        self._loop.add_reader(self._poll.fileno(), self._on_ready)

    def deadline(self) -> float:
        """When an exchange that begins now must be over."""
        return self._loop.time() + self._patience

    async def readable(self, socket: int, deadline: float) -> None:
        """Wait until a socket has something to read; one task at a time for each. Raises TimeoutError."""
        try:
            self._poll.modify(socket, select.EPOLLIN | select.EPOLLONESHOT)
        except FileNotFoundError:  # a new one, or a new one of the same number
            self._poll.register(socket, select.EPOLLIN | select.EPOLLONESHOT)
        waiter = self._waiters[socket] = self._loop.create_future()
        self._deadlines[socket] = deadline
        try:
            await waiter
        finally:
            self._waiters.pop(socket, None)

    def wake(self, socket: int) -> None:
        """Say that a socket is to be looked at, such as one that is closed."""
        waiter = self._waiters.get(socket)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def close(self) -> None:
        """Watch nothing any longer. Whoever waits is woken; to wait again is a ValueError."""
        self._watch.cancel()
        self._loop.remove_reader(self._poll.fileno())
        self._poll.close()
        for socket in list(self._waiters):
            self.wake(socket)

    def _look(self) -> None:
        # Now and then, instead of a timer for each answer.
        now = self._loop.time()
        for socket, waiter in self._waiters.items():
            if self._deadlines[socket] <= now and not waiter.done():
                waiter.set_exception(TimeoutError())
        self._watch = self._loop.call_later(_LOOK_SECONDS, self._look)

    def _on_ready(self) -> None:
        for socket, _ in self._poll.poll(0):
            self.wake(socket)
