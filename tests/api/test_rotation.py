"""Keys and credentials are exchanged under a running service, with requests going on."""

import shutil
from pathlib import Path

import jwt
import pytest

from tests.api.postgres import Server
from tests.api.service import KEY, Load, Service, new_key, private_pem, public_pem, running_service
from tests.api.test_patients import PATIENTS

pytestmark = pytest.mark.integration

ME = "/api/v1/auth/me"


def _kid(token: str) -> str:
    kid: str = jwt.get_unverified_header(token)["kid"]
    return kid


def _replace(path: Path, text: str) -> None:
    """As the kubelet does it: the new file appears whole, by a rename."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def _published(service: Service) -> list[str]:
    return [key["kid"] for key in service.client().get("/.well-known/jwks.json").json()["keys"]]


def test_signing_key_is_exchanged_without_a_refused_token(server: Server, database: str, tmp_path: Path) -> None:
    following, others = new_key(), tmp_path / "others"
    others.write_text("")
    settings = {"secrets_poll_seconds": 0.1, "token_other_keys_file": others, "revocation_seconds": 0}
    (tmp_path / "second").mkdir()
    with running_service(server, database, tmp_path, **settings) as service:
        service.add_user("a@test.example", "clinician")
        old = service.login("a@test.example")["token"]
        _replace(others, public_pem(following))
        service.await_true(lambda: len(_published(service)) == 2, what="the next key")
        assert _published(service)[0] == _kid(old)

        _replace(others, public_pem(KEY))
        _replace(tmp_path / "key", private_pem(following))
        service.await_true(lambda: _published(service)[0] != _kid(old), what="the new key")
        new = service.login("a@test.example")["token"]
        assert _kid(new) == _published(service)[0]
        for token in (old, new):
            assert service.client(token).get(ME).status_code == 200

        # A pod that starts now knows the old key by the others only; one that ran remembers it by itself.
        shutil.copy(tmp_path / "key", tmp_path / "second" / "key")
        with running_service(server, database, tmp_path / "second", **settings) as second:
            assert second.client(old).get(ME).status_code == 200
            _replace(others, "")
            second.await_true(lambda: len(_published(second)) == 1, what="the end of the old key")
            assert second.client(old).get(ME).status_code == 401
            assert second.client(new).get(ME).status_code == 200
        assert service.client(old).get(ME).status_code == 200

        _replace(tmp_path / "key", "not a key")
        service.await_record("A changed secret cannot be used; the one before stays in use")
        assert service.client(service.login("a@test.example")["token"]).get(ME).status_code == 200


def test_credentials_are_exchanged_without_a_failed_request(server: Server, database: str, tmp_path: Path) -> None:
    with server.connect() as admin:
        admin.execute("CREATE ROLE api_next LOGIN PASSWORD 'next-Secret-of-the-tests' IN ROLE api")
    with running_service(server, database, tmp_path, secrets_poll_seconds=0.1) as service:
        client = service.as_role("clinician")
        with Load(lambda: client.get(PATIENTS).status_code, threads=2) as load:
            service.await_true(lambda: len(load.results) > 20, what="load")
            _replace(tmp_path / "password", "next-Secret-of-the-tests")
            _replace(tmp_path / "user", "api_next")

            def exchanged() -> bool:
                with server.connect() as admin:
                    query = "SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = %s AND usename LIKE 'api%%'"
                    return admin.execute(query, (database,)).fetchall() == [("api_next",)]

            service.await_true(exchanged, what="connections of the next user")
            seen = len(load.results)
            service.await_true(lambda: len(load.results) > seen + 20, what="requests after it")
        assert set(load.results) == {200}
    with server.connect() as admin:
        admin.execute("DROP ROLE api_next")
