"""A connection of the service, on the event loop that it runs on: nothing waits for good."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
import uvloop
from psycopg.rows import dict_row

from biospark_api.database.connection import Connection
from biospark_api.database.sockets import Sockets
from tests.api.postgres import API_PASSWORD, Server

pytestmark = pytest.mark.integration

Work = Callable[[Connection], Awaitable[Any]]
Run = Callable[[Work], Any]


@pytest.fixture
def run(server: Server, database: str) -> Run:
    """Gives a connection to some work. What waits longer than 30 s waits for good."""

    async def with_connection(work: Work) -> Any:
        connection = await _connected(server, database, Sockets(60))
        try:
            return await asyncio.wait_for(work(connection), 30)
        finally:
            await connection.close()
            assert connection.sockets is not None
            connection.sockets.close()

    def run(work: Work) -> Any:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(with_connection(work))

    return run


async def _connected(server: Server, database: str, sockets: Sockets) -> Connection:
    connection = await Connection.connect(
        host="127.0.0.1", port=server.port, dbname=database, user="api", password=API_PASSWORD, autocommit=True,
        row_factory=dict_row,
    )  # fmt: skip
    connection.sockets = sockets
    return connection


async def _value(connection: Connection, query: str, *params: object) -> Any:
    row = await (await connection.execute(query, params)).fetchone()
    return row and row["value"]


def test_cancelled_statement_ends_and_its_connection_goes_on(run: Run) -> None:
    async def work(connection: Connection) -> Any:
        await _value(connection, "SELECT 1 AS value")
        statement = asyncio.create_task(_value(connection, "SELECT pg_sleep(60) AS value"))
        await asyncio.sleep(0.05)
        statement.cancel()
        with pytest.raises(asyncio.CancelledError):
            await statement
        return await _value(connection, "SELECT 2 AS value")

    assert run(work) == 2


def test_time_limit_around_a_statement_ends_it(run: Run) -> None:
    async def work(connection: Connection) -> Any:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await _value(connection, "SELECT pg_sleep(60) AS value")
        return await _value(connection, "SELECT 2 AS value")

    assert run(work) == 2


def test_refused_statement_leaves_the_connection_as_it_was(run: Run) -> None:
    async def work(connection: Connection) -> Any:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await _value(connection, "SELECT 1 / 0 AS value")
        return await _value(connection, "SELECT 2 AS value")

    assert run(work) == 2


def test_more_than_the_server_takes_at_once_arrives(run: Run) -> None:
    async def work(connection: Connection) -> Any:
        return await _value(connection, "SELECT length(%s) AS value", "x" * 30_000_000)

    assert run(work) == 30_000_000


def test_end_of_an_idle_connection_is_told_by_the_next_statement(run: Run, server: Server) -> None:
    async def work(connection: Connection) -> None:
        process = await _value(connection, "SELECT pg_backend_pid() AS value")
        with server.connect("postgres") as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT 1")

    run(work)


def test_end_of_an_idle_connection_does_not_keep_the_event_loop_busy(run: Run, server: Server) -> None:
    async def work(connection: Connection) -> float:
        process = await _value(connection, "SELECT pg_backend_pid() AS value")
        with server.connect("postgres") as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))
        before = time.process_time()
        await asyncio.sleep(0.5)
        return time.process_time() - before

    assert run(work) < 0.25


def test_end_of_a_connection_during_a_statement_is_told(run: Run, server: Server) -> None:
    async def work(connection: Connection) -> None:
        process = await _value(connection, "SELECT pg_backend_pid() AS value")
        statement = asyncio.create_task(_value(connection, "SELECT pg_sleep(60) AS value"))
        await asyncio.sleep(0.05)
        with server.connect("postgres") as admin:
            admin.execute("SELECT pg_terminate_backend(%s)", (process,))
        with pytest.raises(psycopg.OperationalError):
            await statement

    run(work)


def test_closed_connection_ends_the_statement_that_waits(run: Run) -> None:
    async def work(connection: Connection) -> None:
        statement = asyncio.create_task(_value(connection, "SELECT pg_sleep(60) AS value"))
        await asyncio.sleep(0.05)
        await connection.close()
        with pytest.raises(psycopg.OperationalError):
            await statement

    run(work)


def test_connection_with_the_socket_of_a_broken_one_is_waited_for(run: Run, server: Server, database: str) -> None:
    async def work(connection: Connection) -> Any:
        assert connection.sockets is not None
        numbers = set()
        for _ in range(5):
            other = await _connected(server, database, connection.sockets)
            numbers.add(other.pgconn.socket)
            process = await _value(other, "SELECT pg_backend_pid() AS value")
            await connection.execute("SELECT 1")
            with server.connect("postgres") as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))
            with pytest.raises(psycopg.OperationalError):
                await other.execute("SELECT 1")
            await other.close()
        return numbers

    assert len(run(work)) == 1, "the kernel gave other numbers: this shows nothing"


def test_rows_of_different_lists_have_their_own_columns(run: Run) -> None:
    async def work(connection: Connection) -> Any:
        numbers = await connection.rows("SELECT n AS number FROM generate_series(1, 2) AS n", ())
        letters = await connection.rows("SELECT 'a' AS letter, 7 AS number", ())
        return [row.number for row in numbers], letters[0].letter, letters[0].number

    assert run(work) == ([1, 2], "a", 7)
