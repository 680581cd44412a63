"""The client on real servers: how many connections it opens, what becomes of them, and what failures mean."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from psycopg import sql

from biospark_operator.api.v1alpha1.database import SslMode
from biospark_operator.clients import bulkhead
from biospark_operator.clients.postgres import server as postgres
from biospark_operator.clients.postgres.address import Address, Login
from biospark_operator.clients.postgres.errors import LoginRefusedError, MissingDatabaseError
from biospark_operator.clients.postgres.servers import LIMIT, Servers
from biospark_operator.engine.errors import AccessError, NotLeaderError, OutsideError, UnavailableError
from dev.cluster.postgres import Server
from dev.cluster.postgres import Server as Running
from tests.postgres import Site, server

pytestmark = pytest.mark.integration


def address(running: Running, ssl_mode: SslMode = SslMode.DISABLE) -> Address:
    return Address(running.address, running.port, ssl_mode)


@pytest.fixture
async def opened() -> AsyncIterator[Servers]:
    servers = Servers()
    yield servers
    await servers.close()


@pytest.fixture
def client(opened: Servers, one_site: Site) -> postgres.Server:
    return opened.at(address(one_site.server), Login(one_site.admin, one_site.password))


def connections(site: Site) -> int:
    return int(str(site.scalar("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", site.admin)))


async def pid(client: postgres.Server) -> int:
    async with client.session() as session:
        (row,) = await session.rows("read", "SELECT pg_backend_pid() AS pid")
        return int(row["pid"])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not holds():
            await asyncio.sleep(0.05)


async def test_a_connection_is_used_again_and_none_is_left_behind(
    client: postgres.Server, one_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "IDLE", 0.3)
    assert await pid(client) == await pid(client)
    assert connections(one_site) == 1
    await until(lambda: connections(one_site) == 0)


async def test_however_many_ask_there_are_only_so_many_connections(client: postgres.Server, one_site: Site) -> None:
    most = 0

    async def ask(number: int) -> None:
        nonlocal most
        async with client.session(["postgres", "template1"][number % 2]) as session:
            await session.rows("wait", "SELECT pg_sleep(0.05)")
            most = max(most, await asyncio.to_thread(connections, one_site))

    await asyncio.gather(*(ask(number) for number in range(LIMIT + bulkhead.WAITING)))
    assert 1 < most <= LIMIT


async def ask(client: postgres.Server, seconds: float) -> None:
    async with client.session() as session:
        await session.rows("wait", "SELECT pg_sleep(%s)", seconds)


async def test_a_busy_server_that_answers_is_waited_for(client: postgres.Server) -> None:
    await asyncio.gather(*(ask(client, 0.01) for _ in range(40)))


async def test_a_crowd_at_a_slow_server_is_sent_away_instead_of_holding_up_everything(
    client: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulkhead, "SILENCE", 0.2)
    crowd = [asyncio.create_task(ask(client, 2)) for _ in range(LIMIT + bulkhead.WAITING)]
    await asyncio.sleep(0.5)
    with pytest.raises(UnavailableError, match="busy"):
        await ask(client, 0)
    await asyncio.gather(*crowd)
    await ask(client, 0)


async def test_a_restarted_server_is_connected_to_anew(opened: Servers) -> None:
    with server(18, "-restart") as running:
        client = opened.at(address(running), Login("postgres", running.password))
        await pid(client)
        running.stop(signal.SIGQUIT)
        with pytest.raises(UnavailableError, match="no answer"):
            await pid(client)
        running.up()
        await until_up(client)
        running.stop()
        running.up()
        assert await pid(client)


async def until_up(client: postgres.Server) -> None:
    async with asyncio.timeout(15):
        while True:
            try:
                await pid(client)
            except OutsideError:
                await asyncio.sleep(0.1)
            else:
                return


async def test_a_silent_server_is_asked_once_for_all_and_others_answer_meanwhile(
    opened: Servers, one_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "CONNECT", 1.0)
    with server(15, "-silent") as running:
        silent = opened.at(address(running), Login("postgres", running.password))
        answering = opened.at(address(one_site.server), Login(one_site.admin, one_site.password))
        running.pause()
        try:
            crowd = [asyncio.create_task(pid(silent)) for _ in range(10)]
            assert await pid(answering)
            assert not any(task.done() for task in crowd)
            async with asyncio.timeout(5):
                outcomes = await asyncio.gather(*crowd, return_exceptions=True)
            assert all(isinstance(outcome, UnavailableError) for outcome in outcomes)
        finally:
            running.resume()


async def test_a_wrong_password_is_the_users_to_correct(opened: Servers, site: Site) -> None:
    client = opened.at(address(site.server), Login(site.admin, "wrong"))
    with pytest.raises(LoginRefusedError, match="correct the Secret") as caught:
        await pid(client)
    assert "wrong" not in str(caught.value)


async def test_a_missing_database_is_told_apart(client: postgres.Server) -> None:
    with pytest.raises(MissingDatabaseError):
        async with client.session("there_is_none"):
            pass


async def test_a_full_connection_table_is_waited_for(opened: Servers, one_site: Site) -> None:
    one_site.sql(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 0").format(sql.Identifier(one_site.admin)))
    client = opened.at(address(one_site.server), Login(one_site.admin, one_site.password))
    with pytest.raises(UnavailableError, match="no connection is free"):
        await pid(client)


async def test_a_read_only_server_is_waited_for(client: postgres.Server, one_site: Site) -> None:
    role = sql.Identifier(one_site.admin)
    one_site.sql(sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role))
    create = sql.SQL("CREATE ROLE {}").format(sql.Identifier(f"{one_site.name}_x"))
    async with client.session() as session:
        with pytest.raises(UnavailableError, match="read-only"):
            await session.run("create a role", [create])
        assert session.usable


async def test_certificates_are_checked_as_the_mode_says(opened: Servers, servers: dict[int, Server]) -> None:
    running = servers[15]
    login, right = Login("postgres", running.password), running.authority.read_bytes()
    wrong = (servers[18].directory / "ca.crt").read_bytes()

    async def reach(ssl_mode: SslMode, authority: bytes | None, host: str = "127.0.0.1") -> int:
        return await pid(opened.at(replace(address(running, ssl_mode), authority=authority, host=host), login))

    for mode in (SslMode.VERIFY_CA, SslMode.VERIFY_FULL):
        assert await reach(mode, right)
        with pytest.raises(AccessError, match="no secure connection"):
            await reach(mode, wrong)
    assert await reach(SslMode.REQUIRE, None)
    # An address of this machine that the certificate does not name.
    with pytest.raises(AccessError, match="no secure connection"):
        await reach(SslMode.VERIFY_FULL, right, "0.0.0.0")
    assert await reach(SslMode.VERIFY_CA, right, "0.0.0.0")


async def test_require_verifies_the_certificate_where_there_is_an_authority(
    opened: Servers, servers: dict[int, Server]
) -> None:
    running = servers[15]
    login, where = Login("postgres", running.password), address(running, SslMode.REQUIRE)
    assert await pid(opened.at(replace(where, authority=running.authority.read_bytes()), login))
    with pytest.raises(AccessError, match="no secure connection"):
        await pid(opened.at(replace(where, authority=(servers[18].directory / "ca.crt").read_bytes()), login))


async def test_a_server_that_demands_tls_is_told_as_that(opened: Servers) -> None:
    with server(15, "-hostssl") as running:
        running.stop()
        (running.directory / "data" / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
        running.up()
        login = Login("postgres", running.password)
        with pytest.raises(AccessError, match="without TLS; write sslMode: Require or a stronger one"):
            await pid(opened.at(address(running), login))
        assert await pid(opened.at(address(running, SslMode.REQUIRE), login))


@pytest.mark.parametrize(
    ("answer", "says"),
    [(b"", "the connection broke off"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is not a PostgreSQL server")],
)
async def test_no_answer_is_said_only_where_there_was_none(opened: Servers, answer: bytes, says: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        for mode in (SslMode.DISABLE, SslMode.REQUIRE):
            with pytest.raises(OutsideError) as caught:
                await pid(opened.at(Address("127.0.0.1", port, mode), Login("a", "b")))
            assert "no answer" not in caught.value.message
            if mode is SslMode.DISABLE:
                assert says in caught.value.message
    with pytest.raises(UnavailableError, match="no answer"):
        await pid(opened.at(Address("127.0.0.1", port, SslMode.DISABLE), Login("c", "d")))


async def test_a_connection_asks_for_nothing_that_a_pooler_refuses(opened: Servers) -> None:
    asked = asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.read(4096))
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(UnavailableError):
            await pid(opened.at(Address("127.0.0.1", port, SslMode.DISABLE), Login("a", "b")))
    words = (await asked)[8:].split(b"\0")
    # PgBouncer keeps track of these, and ends connections that ask for others.
    assert set(words[::2]) - {b""} == {b"user", b"database", b"application_name", b"client_encoding"}


async def test_the_settings_of_a_session_are_those_of_every_session(client: postgres.Server) -> None:
    query = "SELECT current_setting('search_path') AS path, current_setting('statement_timeout') AS seconds"

    async with client.session() as session:
        (row,) = await session.rows("read settings", query)
    assert (row["path"], row["seconds"]) == ("pg_catalog", "10s")
    found = await client.in_thread(
        client.admin, "postgres", lambda c: c.execute(query).fetchone(), statement_timeout="900s"
    )
    assert found == ("pg_catalog", "15min")


async def test_a_server_without_tls_is_refused_where_it_is_required(
    opened: Servers, servers: dict[int, Server]
) -> None:
    running = servers[18]
    with pytest.raises(AccessError, match="no secure connection"):
        await pid(opened.at(address(running, SslMode.REQUIRE), Login("postgres", running.password)))


async def test_a_password_travels_only_as_a_verifier(opened: Servers, site: Site) -> None:
    name, password = f'{site.name} "ü;--', "very secret, and 'quoted'"
    client, login = opened.at(address(site.server), Login(site.admin, site.password)), Login(name, password)
    async with client.session() as session:
        verifier = session.verifier(login)
        create = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(verifier))
        await session.run("create a role", [create])
    await client.try_login(login, "postgres")
    with pytest.raises(LoginRefusedError):
        await client.try_login(Login(name, "another"), "postgres")
    assert "very secret" not in site.server.log.read_text()
    assert verifier.startswith("SCRAM-SHA-256$")


async def test_a_transaction_is_all_or_nothing(client: postgres.Server, one_site: Site) -> None:
    first, second = (sql.SQL("CREATE ROLE {}").format(sql.Identifier(f"{one_site.name}_{n}")) for n in "ab")
    async with client.session() as session:
        with pytest.raises(OutsideError):
            await session.run("create roles", [first, second, second])
    assert one_site.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE %s", f"{one_site.name}__") == []


async def test_a_process_that_lost_its_leadership_keeps_nothing_of_what_it_began(one_site: Site) -> None:
    asked = 0

    def may_act() -> None:
        nonlocal asked
        asked += 1
        if asked > 2:
            raise NotLeaderError

    servers = Servers(may_act=may_act)
    client = servers.at(address(one_site.server), Login(one_site.admin, one_site.password))
    names = [f"{one_site.name}_{n}" for n in "abc"]
    statements = [sql.SQL("CREATE ROLE {}").format(sql.Identifier(name)) for name in names]
    async with client.session() as session:
        with pytest.raises(NotLeaderError):
            await session.run("create roles", statements[:2])
        with pytest.raises(NotLeaderError):
            await session.run("create a role", statements[2:], transaction=False)
    assert one_site.sql("SELECT 1 FROM pg_roles WHERE rolname = ANY(%s)", names) == []
    await servers.close()
