"""A time limit for the head of a request. Used by `server`.

uvicorn waits forever for a client that opens a connection and says nothing, or one letter a minute. A few
thousand of those would leave no file descriptor for anybody else.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def impatient_protocol(seconds: float) -> type[HttpToolsProtocol]:
    """uvicorn's protocol that closes connections whose head takes longer than `seconds`."""

    class ImpatientProtocol(HttpToolsProtocol):
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._begin()

        def on_message_begin(self) -> None:
            # Also the next head of a connection; between two requests the keep-alive time counts.
            if self._patience is None:
                self._begin()
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._end()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            super().connection_lost(exc)

        def _begin(self) -> None:
            self._patience = self.loop.call_later(seconds, self._give_up)

        def _end(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

        def _give_up(self) -> None:
            self._patience = None
            if self.transport is not None and not self.transport.is_closing():
                self.transport.close()

    return ImpatientProtocol
