"""What the API is told by its environment, and that it takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.components.database import sizing, wanted
from biospark_operator.components.secrets import keys
from biospark_operator.components.workload.settings import POOL_SIZE, pool_size
from biospark_operator.components.workload.settings import settings as settings_of
from tests.fakes.environments import environment

SERVER = {"host": "db.example", "adminSecretRef": {"name": "admin"}}


def settings(**spec: Any) -> dict[str, str]:
    return settings_of(environment(**spec), Platform())


def test_without_a_database_the_api_is_told_of_none() -> None:
    assert not [name for name in settings() if name.startswith(("DATABASE", "TOKEN", "BOOTSTRAP"))]


def test_with_a_database_the_api_is_told_where_it_and_its_secrets_are() -> None:
    told = settings(database={"server": {**SERVER, "port": 5433}}, api={"tokenLifetime": "90m"})
    assert {name: value for name, value in told.items() if name.startswith(("DATABASE", "TOKEN", "BOOTSTRAP"))} == {
        "DATABASE_HOST": "db.example",
        "DATABASE_PORT": "5433",
        "DATABASE_NAME": "biospark_dev",
        "DATABASE_SSL_MODE": "require",
        "DATABASE_USER_FILE": "/etc/biospark/database/username",
        "DATABASE_PASSWORD_FILE": "/etc/biospark/database/password",
        "DATABASE_POOL_SIZE": "12",
        "TOKEN_KEY_FILE": "/etc/biospark/secrets/token-key.pem",
        "TOKEN_OTHER_KEYS_FILE": "/etc/biospark/secrets/token-public-keys.pem",
        "TOKEN_LIFETIME_SECONDS": "5400",
    }


@pytest.mark.parametrize(
    ("server", "mode", "authority"),
    [
        ({"sslMode": "Disable"}, "disable", False),
        ({"caSecretRef": {"name": "ca"}}, "verify-full", True),
        ({"caSecretRef": {"name": "ca", "key": "root.pem"}, "sslMode": "VerifyCA"}, "verify-ca", True),
    ],
)
def test_the_connection_is_as_safe_as_the_operators(server: dict[str, Any], mode: str, authority: bool) -> None:
    told = settings(database={"server": {**SERVER, **server}})
    assert told["DATABASE_SSL_MODE"] == mode
    assert told.get("DATABASE_CA_PATH") == ("/etc/biospark/database/ca.crt" if authority else None)


def test_the_first_administrator_is_named_and_the_password_is_in_a_file() -> None:
    told = settings(database={"server": SERVER}, api={"bootstrapAdmin": {"email": "admin@example.com"}})
    assert told["BOOTSTRAP_ADMIN_EMAIL"] == "admin@example.com"
    assert told["BOOTSTRAP_ADMIN_PASSWORD_FILE"] == "/etc/biospark/secrets/bootstrap-admin-password"


def test_the_api_takes_all_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from biospark_api.settings import load_settings

    key = keys.new_signing_key()
    files = {
        "username": "biospark_dev_app_1",
        "password": "seven-Blue-lanterns",
        "token-key.pem": key,
        "token-public-keys.pem": keys.public_half(key),
        "bootstrap-admin-password": "seven-Blue-lanterns",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    told = settings(
        database={"server": {**SERVER, "caSecretRef": {"name": "ca"}}, "connectionLimit": 20},
        profile="Production",
        api={"bootstrapAdmin": {"email": "admin@example.com"}, "tokenLifetime": "1m", "eraseDeletedDays": 30},
    )
    for name, value in told.items():
        path = tmp_path / Path(value).name if name.endswith("_FILE") else value
        monkeypatch.setenv(f"BIOSPARK_{name}", str(path))
    loaded = load_settings()
    assert (loaded.database_host, loaded.database_user) == ("db.example", "biospark_dev_app_1")
    assert loaded.token_lifetime_seconds == 60
    assert (loaded.erase_deleted_days, loaded.docs) == (30, False)


def test_production_serves_no_documentation_and_deleted_patients_are_kept_unless_it_is_said() -> None:
    database = {"server": SERVER}
    assert settings(profile="Production", database=database)["DOCS"] == "false"
    for profile in ("Development", "Staging"):
        assert "DOCS" not in settings(profile=profile, database=database)
    assert "ERASE_DELETED_DAYS" not in settings(profile="Production", database=database)


def test_the_api_believes_the_addresses_of_the_gateway_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    from biospark_api.settings import load_settings, networks_of

    gateway = {"namespace": "kong", "addresses": ["10.244.0.0/16", "192.0.2.7", "fd00::/64"]}
    platform = Platform.model_validate({"network": {"gateway": gateway}})
    for name, value in settings_of(environment(), platform).items():
        monkeypatch.setenv(f"BIOSPARK_{name}", value)
    believed = [str(network) for network in networks_of(load_settings().trusted_proxies)]
    assert believed == ["10.244.0.0/16", "192.0.2.7/32", "fd00::/64"]
    assert "TRUSTED_PROXIES" not in settings()


@pytest.mark.parametrize("limit", [*range(1, 80), 100, 500, 5000])
@pytest.mark.parametrize(
    "api", [{"replicas": 1}, {"replicas": 3}, {"autoscaling": {"minReplicas": 2, "maxReplicas": 12}}], ids=str
)
def test_all_pools_together_fit_the_limit_also_while_replicas_are_replaced(limit: int, api: dict[str, Any]) -> None:
    env = environment(database={"server": SERVER, "connectionLimit": limit}, api=api)
    most = api.get("replicas") or api["autoscaling"]["maxReplicas"]
    share, size = wanted.shares(limit).login, pool_size(env)
    said = sizing.too_few_connections(env)
    assert 1 <= size <= POOL_SIZE
    assert (said is None) == ((most + 2) * size <= share)


def test_a_limit_that_is_too_low_says_which_one_is_enough() -> None:
    env = environment(database={"server": SERVER, "connectionLimit": 4}, api={"replicas": 3})
    said = sizing.too_few_connections(env) or ""
    assert said == (
        "spec.database.connectionLimit 4 is too low for 3 replicas of the API and 2 more while they are replaced; "
        "write at least 7, or lower the number of replicas"
    )
    enough = environment(database={"server": SERVER, "connectionLimit": 7}, api={"replicas": 3})
    assert sizing.too_few_connections(enough) is None


def test_without_a_limit_the_pool_is_as_large_as_it_helps() -> None:
    assert pool_size(environment(database={"server": SERVER}, api={"replicas": 50})) == 12
    assert sizing.too_few_connections(environment()) is None
