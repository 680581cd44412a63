"""How large a request body may be, how long it may take to arrive, and how many large ones there are at once.
Installed by `app`.

FastAPI's own limit is inside of `dispatch`, so operations never meet it, and answers as plain text when the body is
announced but not read; this one answers every case as a problem.
"""

import asyncio

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from biospark_api.http.delivery import LARGE, take
from biospark_api.http.headers import header
from biospark_api.http.problems import problem, problem_response
from biospark_api.shares import Shares, current_holder


class BodyLimit:
    """Refuses bodies of more than `max_bytes` with 413, before reading them if their length is announced, and
    bodies that take longer than `seconds` with 408. Large ones stay unread until there is room in `shares`, or for
    `wait_seconds`.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, seconds: float, shares: Shares, wait_seconds: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.shares = shares
        self.wait_seconds = wait_seconds
        self.detail = f"A request body may have at most {max_bytes} bytes."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        length = header(scope, b"content-length")
        announced = int(length) if length is not None and length.isdecimal() else 0
        if announced > self.max_bytes:
            await problem_response(problem(413, self.detail))(scope, receive, send)
            return
        held: list[tuple[str, int]] = []
        try:
            await self.app(scope, self._counting(receive, announced, held), send)
        finally:
            for holder, amount in held:
                self.shares.give_back(holder, amount)

    async def _hold(self, amount: int, held: list[tuple[str, int]]) -> None:
        holder = current_holder.get() or ""
        await take(self.shares, holder, amount, seconds=self.wait_seconds)
        held.append((holder, amount))

    def _counting(self, receive: Receive, announced: int, held: list[tuple[str, int]]) -> Receive:
        received = 0
        complete = False
        deadline: float | None = None

        async def counted() -> Message:
            nonlocal received, complete, deadline
            if complete:
                return await receive()  # waits for the end of the connection
            if announced > LARGE and not held:
                await self._hold(announced, held)
            deadline = deadline or asyncio.get_running_loop().time() + self.seconds
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                # The rest may still come: it must not be taken for the next request.
                raise HTTPException(
                    408, f"The body did not arrive within {self.seconds:g} s.", {"Connection": "close"}
                ) from None
            complete = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise HTTPException(413, self.detail)  # the framework's handler turns it into a problem
            if received > LARGE and not held:
                await self._hold(self.max_bytes, held)  # nobody has said how much there is to come
            return message

        return counted
