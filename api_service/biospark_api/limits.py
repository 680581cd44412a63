"""How large a request body may be and how long it may take to arrive. Installed by `app`.

FastAPI's own limit is inside of `dispatch`, so operations never meet it, and answers as plain text when the body is
announced but not read; this one answers every case as a problem.
"""

import asyncio

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from biospark_api.headers import header
from biospark_api.problems import problem, problem_response


class BodyLimit:
    """Refuses bodies of more than `max_bytes` with 413, before reading them if their length is announced, and
    bodies that take longer than `seconds` with 408.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, seconds: float) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.detail = f"A request body may have at most {max_bytes} bytes."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._announces_too_much(scope):
            await problem_response(problem(413, self.detail))(scope, receive, send)
        else:
            await self.app(scope, self._counting(receive), send)

    def _announces_too_much(self, scope: Scope) -> bool:
        length = header(scope, b"content-length")
        return length is not None and length.isdecimal() and int(length) > self.max_bytes

    def _counting(self, receive: Receive) -> Receive:
        received = 0
        complete = False
        deadline: float | None = None

        async def counted() -> Message:
            nonlocal received, complete, deadline
            if complete:
                return await receive()  # waits for the end of the connection
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
            return message

        return counted
