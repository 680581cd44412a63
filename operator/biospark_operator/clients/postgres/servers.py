"""All PostgreSQL servers of this process, by address and administrator. The driver is imported for the first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from biospark_operator.clients.fencing import MayAct
from biospark_operator.clients.postgres.address import Address, Login

if TYPE_CHECKING:
    from biospark_operator.clients.postgres.server import Server

#: Connections to one server at once, over all environments. A server has 100 by default.
LIMIT = 4


class Servers:
    """All servers of this process."""

    def __init__(self, limit: int = LIMIT, may_act: MayAct = lambda: None) -> None:
        self._limit, self._may_act = limit, may_act
        self._servers: dict[tuple[Address, Login], Server] = {}

    def at(self, address: Address, admin: Login) -> Server:
        """Return the server at an address. It costs nothing until it is asked for something."""
        if (found := self._servers.get((address, admin))) is None:
            for key in [key for key, server in self._servers.items() if server.forgotten]:
                self._servers.pop(key).drop()
            from biospark_operator.clients.postgres.server import Server  # noqa: PLC0415 - deferred on purpose

            found = self._servers[address, admin] = Server(address, admin, self._limit, self._may_act)
        return found

    async def close(self) -> None:
        """Close every connection."""
        servers, self._servers = self._servers, {}
        for server in servers.values():
            await server.close()
