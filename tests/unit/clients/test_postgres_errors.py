"""What PostgreSQL says, in the vocabulary of the engine, and without what it quotes."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.postgres.errors import MissingDatabaseError, SilentError, translated, unreachable
from biospark_operator.engine.errors import AccessError, OutsideError, RejectedError, UnavailableError

SECRET = "hunter2"


def of_state(state: str) -> psycopg.Error:
    return errors.lookup(state)(f"ERROR: something with {SECRET}\nDETAIL: Key (password)=({SECRET}) is there")


def of_connection(text: str) -> psycopg.Error:
    """Return what psycopg raises of a server whose name says nothing about what went wrong."""
    server = 'connection to server at "no-certificate-and-no-SSL" (10.0.0.5), port 5432'
    return psycopg.OperationalError(f"connection failed: {server} failed: {text}")


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (of_state("08006"), UnavailableError, "connection was lost"),
        (of_state("53100"), UnavailableError, "disk of the server is full"),
        (of_state("53300"), UnavailableError, "raise max_connections"),
        (of_state("57P01"), UnavailableError, "starting, stopping or was restarted"),
        (of_state("57P03"), UnavailableError, "starting, stopping"),
        (of_state("57014"), UnavailableError, "took too long"),
        (of_state("40001"), UnavailableError, "another transaction"),
        (of_state("40P01"), UnavailableError, "another transaction"),
        (of_state("55P03"), UnavailableError, "lock"),
        (of_state("55006"), UnavailableError, "in use"),
        (of_state("25006"), UnavailableError, "read-only"),
        (of_state("42P04"), UnavailableError, "created meanwhile"),
        (of_state("42710"), UnavailableError, "created meanwhile"),
        (of_state("42704"), UnavailableError, "gone"),
        (of_state("3D000"), MissingDatabaseError, "does not exist"),
        (of_state("42501"), AccessError, "grant the operator's role this right"),
        (of_state("28P01"), AccessError, "correct the Secret"),
        (of_state("28000"), AccessError, "pg_hba.conf"),
        (of_state("2BP01"), RejectedError, "depend on it"),
        (of_state("0A000"), RejectedError, "not installed on the server"),
        (of_state("42601"), RejectedError, "SQLSTATE 42601"),
        (of_connection("FATAL:  28P01"), AccessError, "correct the Secret"),
        (of_connection("FATAL:  28000"), AccessError, "pg_hba.conf"),
        (of_connection("FATAL:  53300"), UnavailableError, "raise max_connections"),
        (of_connection("FATAL:  57P03"), UnavailableError, "starting"),
        (of_connection("FATAL:  55000"), UnavailableError, "not in the right state"),
        (of_connection("FATAL:  3D000"), MissingDatabaseError, "does not exist"),
        (of_connection("ВАЖНО:  28P01"), AccessError, "correct the Secret"),
        (of_connection("SSL error: certificate verify failed"), AccessError, "caSecretRef"),
        (of_connection("server does not support SSL, but SSL was required"), AccessError, "sslMode"),
        (of_connection("received invalid response to SSL negotiation: H"), UnavailableError, "not a PostgreSQL server"),
        (
            of_connection('authentication method requirement "scram-sha-256" failed: server requested a password'),
            AccessError,
            "gets no password in any other way",
        ),
        (of_connection("Connection refused"), SilentError, "no answer"),
        (of_connection("server closed the connection unexpectedly"), UnavailableError, "broke off"),
        (psycopg.OperationalError("failed to resolve host 'certificate'"), SilentError, "can't be resolved"),
        (psycopg.OperationalError("the connection is lost"), UnavailableError, "broke off"),
        (psycopg.DataError(f"can't parse date {SECRET}"), RejectedError, "can't be read"),
        (TimeoutError(), SilentError, "no answer"),
        (OSError("Name or service not known"), SilentError, "no answer"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, str) else None,
)
def test_an_error_says_whether_to_try_again_and_what_to_do(
    error: Exception, kind: type[OutsideError], words: str
) -> None:
    found = translated(error, "read roles", "db.example:5432")
    assert type(found) is kind or (kind is AccessError and isinstance(found, AccessError))
    assert words in found.message
    assert "could not read roles on db.example:5432" in found.message
    assert SECRET not in found.message


def test_only_silence_spares_the_next_connection() -> None:
    def silent(error: Exception) -> bool:
        return unreachable(translated(error, "connect", "s"))

    assert silent(TimeoutError())
    assert silent(of_connection("Connection refused"))
    assert not silent(of_state("53300"))
    assert not silent(of_connection("FATAL:  28P01"))


def test_a_refused_login_and_a_bad_certificate_have_reasons_of_their_own() -> None:
    assert translated(of_state("28P01"), "a", "s").reason == Reason.DATABASE_LOGIN_REFUSED
    assert (
        translated(of_connection("certificate verify failed"), "a", "s").reason == Reason.DATABASE_CERTIFICATE_REFUSED
    )
