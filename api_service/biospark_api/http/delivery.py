"""Large bodies, of requests and of answers: how many bytes of them one process holds at once, and how answers leave.

An answer of a few megabytes is in memory several times while it is made, and waits there for a client that reads
slowly. So large ones are counted until they are sent, beyond a limit the answer is 503, and they are sent in parts:
the next one when the client has taken enough of those before.
"""

import asyncio

from starlette.responses import Response
from starlette.types import Scope, Send

from biospark_api.http.problems import ProblemError
from biospark_api.shares import Shares, ShareTakenError, current_holder

LARGE = 65_536
"""From here on bytes are counted; a thousand smaller bodies fit into the memory of the smallest pod."""

_PART = 65_536
_HELD = "biospark.held"


async def hold(shares: Shares, scope: Scope, amount: int, *, done: bool) -> None:
    """Count the answer to a request until it is sent; raises the 503 problem when there is no room, unless what was
    asked for is done.
    """
    holder = current_holder.get() or ""
    if done:
        shares.take_beyond(holder, amount)
    else:
        await take(shares, holder, amount, seconds=0)
    scope[_HELD] = (shares, holder, amount)


async def take(shares: Shares, holder: str, amount: int, *, seconds: float) -> None:
    """Count bytes for somebody; raises the 503 problem when there is no room in time."""
    try:
        await shares.take(holder, amount, seconds=seconds)
    except ShareTakenError:
        raise ProblemError(
            503, "Too much is being sent at once; send it again, or ask for less.", headers={"Retry-After": "1"}
        ) from None


def let_go(scope: Scope) -> None:
    """The answer is sent, or will never be."""
    if held := scope.pop(_HELD, None):
        shares, holder, amount = held
        shares.give_back(holder, amount)


async def deliver(response: Response, scope: Scope, send: Send) -> None:
    """Send a large answer in parts."""
    body = memoryview(response.body)
    try:
        await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
        for begin in range(0, len(body), _PART):
            part, more = body[begin : begin + _PART], begin + _PART < len(body)
            # Waits while the client has not taken enough of what was sent before.
            await send({"type": "http.response.body", "body": part, "more_body": more})
            await asyncio.sleep(0)  # what was sent is written in the next turn of the event loop
    finally:
        let_go(scope)
