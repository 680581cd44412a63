"""The servers that tests run on are what they say, and leave nothing behind."""

from __future__ import annotations

import ssl

import psycopg
import pytest

from dev.cluster import leftovers
from dev.cluster.postgres import MAJORS, Server
from tests.postgres import Site, server

pytestmark = pytest.mark.integration


def test_a_server_is_of_its_major_and_the_administrator_of_its_kind(site: Site) -> None:
    assert str(site.scalar("SHOW server_version")).startswith(str(site.server.major))
    rights = site.sql("SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = %s", site.admin)
    assert rights == [(site.superuser, True, True)]


@pytest.mark.parametrize("major", MAJORS)
def test_a_server_comes_back_with_its_data_and_goes_without_a_trace(major: int) -> None:
    with server(major, "-life") as made:
        with psycopg.connect(made.conninfo(), autocommit=True) as connection:
            connection.execute("CREATE DATABASE kept")
        made.stop()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(made.conninfo())
        made.up()
        assert Server.of(made.name, major).port == made.port
        psycopg.connect(made.conninfo(database="kept")).close()
        assert leftovers.of(made.name)
    assert leftovers.of(made.name) == []


def test_tls_is_that_of_the_own_authority(servers: dict[int, Server]) -> None:
    found = servers[15]
    assert ssl.create_default_context(cafile=str(found.authority)).cert_store_stats()["x509_ca"] == 1
    conninfo = f"{found.conninfo()} sslmode=verify-full sslrootcert={found.authority}"
    with psycopg.connect(conninfo) as connection:
        assert connection.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(f"{found.conninfo()} sslmode=verify-full sslrootcert=system")
