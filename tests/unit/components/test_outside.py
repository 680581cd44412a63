"""What Secrets of the operator's namespace may be used for, and what of a Secret gets out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from biospark_operator.components.outside import Endpoint, OperatorSecrets, certificates
from biospark_operator.engine.errors import RejectedError
from dev.cluster import pki
from tests.fakes.cluster import FakeCluster

KEY = "-----BEGIN PRIVATE KEY-----\nplanted\n-----END PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A certificate in PEM."""
    directory = tmp_path_factory.mktemp("pki")
    pki.ensure_authority(directory, "ca", "an authority")
    return (Path(directory) / "ca.crt").read_text()


def test_certificates_are_all_that_is_left(authority: str) -> None:
    trusted = authority.replace("BEGIN CERT", "BEGIN TRUSTED CERT").replace("END CERT", "END TRUSTED CERT")
    text = f"planted: yes\r\n{KEY}{authority}{trusted}{KEY}{authority.replace(chr(10), chr(13) + chr(10))}planted"
    assert certificates(text.encode()) == (authority + authority).encode()


@pytest.mark.parametrize("text", ["", KEY, "planted", "-----BEGIN CERTIFICATE-----\n"])
def test_where_there_is_no_certificate_nothing_is_left(text: str) -> None:
    assert certificates(text.encode()) is None


@pytest.mark.parametrize("body", ["planted", "", "AAAA"])
def test_a_broken_certificate_is_an_error(body: str) -> None:
    with pytest.raises(ValueError, match=r".*") as raised:
        certificates(f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n".encode())
    assert "planted" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "port", "text"),
    [
        ("DB.Example.com", 5432, "db.example.com:5432"),
        ("db.example.com.", 5432, "db.example.com.:5432"),
        ("2001:DB8:0::1", 1, "[2001:db8::1]:1"),
        ("010.0.0.5", 1, "010.0.0.5:1"),
    ],
)
def test_a_server_has_one_spelling(host: str, port: int, text: str) -> None:
    assert str(Endpoint(host, port)) == text


async def test_the_annotation_of_another_use_opens_nothing() -> None:
    notes = {"biospark.ai/environments": "*, db:5432"}
    metadata = {"name": "admin", "namespace": "biospark-system", "annotations": notes}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
    secrets = OperatorSecrets(FakeCluster(secret), "biospark-system", {"other": frozenset({Endpoint("db", 5432)})})
    with pytest.raises(RejectedError, match=r"to add db:5432 to its annotation biospark\.ai/servers"):
        await secrets.for_server("admin", "spec.field", Endpoint("db", 5432))
    assert await secrets.for_server("other", "spec.field", Endpoint("db", 5432)) is None
