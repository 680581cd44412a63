"""Settings: where values come from, and what a wrong one is answered with."""

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from biospark_api.settings import InvalidSettingsError, Settings, load_settings, variable

GIVEN_BY_THE_OPERATOR = {
    "BIOSPARK_ENVIRONMENT": "dev",
    "BIOSPARK_PUBLIC_URL": "https://api.dev.example.org",
    "BIOSPARK_LOG_LEVEL": "INFO",
    "BIOSPARK_HOST": "0.0.0.0",
    "BIOSPARK_PORT": "8080",
    "BIOSPARK_METRICS_PORT": "9090",
    "BIOSPARK_DRAIN_SECONDS": "5",
}


def _faults(monkeypatch: pytest.MonkeyPatch, **environ: str) -> list[str]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettingsError) as raised:
        load_settings()
    return raised.value.lines


def test_defaults_suffice_for_a_local_start() -> None:
    assert load_settings() == Settings(environment="local", host="127.0.0.1", port=8080)


def test_values_of_the_deployment_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GIVEN_BY_THE_OPERATOR.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.environment, settings.host, settings.log_level) == ("dev", "0.0.0.0", "info")
    assert str(settings.public_url) == "https://api.dev.example.org/"


def test_every_setting_is_documented() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_value_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "level").write_text("warning\n")
    monkeypatch.setenv("BIOSPARK_LOG_LEVEL_FILE", str(tmp_path / "level"))
    assert load_settings().log_level == "warning"


def test_unreadable_file_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lines = _faults(monkeypatch, BIOSPARK_LOG_LEVEL_FILE=str(tmp_path / "absent"))
    assert lines == ["BIOSPARK_LOG_LEVEL_FILE: the file cannot be read: No such file or directory"]


def test_value_and_file_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _faults(monkeypatch, BIOSPARK_LOG_LEVEL="info", BIOSPARK_LOG_LEVEL_FILE="/x")
    assert lines == ["BIOSPARK_LOG_LEVEL: is set together with BIOSPARK_LOG_LEVEL_FILE; keep one of them"]


def test_each_wrong_value_gets_one_line_that_does_not_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _faults(
        monkeypatch,
        BIOSPARK_ENVIRONMENT="Hunter_2",
        BIOSPARK_PORT="hunter2",
        BIOSPARK_LOG_LEVEL="hunter2",
        BIOSPARK_DRAIN_SECONDS="-1",
        BIOSPARK_PUBLIC_URL="https://jane:hunter2@example.org/",
    )
    assert [line.partition(":")[0] for line in lines] == [
        "BIOSPARK_ENVIRONMENT",
        "BIOSPARK_PUBLIC_URL",
        "BIOSPARK_LOG_LEVEL",
        "BIOSPARK_PORT",
        "BIOSPARK_DRAIN_SECONDS",
    ]
    assert "hunter" not in " ".join(lines).lower()


def test_database_without_its_secrets_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _faults(monkeypatch, BIOSPARK_DATABASE_HOST="db")
    assert lines == ["BIOSPARK_DATABASE_USER: must be set together with BIOSPARK_DATABASE_HOST"]


@pytest.mark.parametrize(
    "password", ["short", "changeme-changeme", "postgres12345678", "password-password", "x" * 1025]
)
@pytest.mark.parametrize("name", ["BIOSPARK_DATABASE_PASSWORD", "BIOSPARK_BOOTSTRAP_ADMIN_PASSWORD"])
def test_weak_or_default_secret_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, password: str) -> None:
    lines = _faults(monkeypatch, **{name: password})
    assert lines[0] == f"{name}: Input should be 12 to 1024 characters and no well-known password"
    assert password not in " ".join(lines)


def test_password_of_the_first_administrator_is_hard_to_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _faults(monkeypatch, BIOSPARK_BOOTSTRAP_ADMIN_PASSWORD="aaaaaaaaaaaaaaaa")
    assert lines[0] == "BIOSPARK_BOOTSTRAP_ADMIN_PASSWORD: Input should be harder to guess"


@pytest.mark.parametrize("bits", [1024, 2048])
def test_signing_key_is_checked_at_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bits: int) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(pem)
    monkeypatch.setenv("BIOSPARK_TOKEN_KEY_FILE", str(tmp_path / "key"))
    if bits == 2048:
        assert load_settings().token_key
        return
    expected = ["BIOSPARK_TOKEN_KEY: the signing key should be an RSA key of at least 2048 bits"]
    assert _faults(monkeypatch) == expected


@pytest.mark.parametrize("name", ["BIOSPARK_TOKEN_KEY", "BIOSPARK_TOKEN_OTHER_KEYS"])
def test_text_that_is_no_key_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (line,) = _faults(monkeypatch, **{name: "hunter2"})
    assert line.startswith(f"{name}: the ")
    assert "hunter2" not in line


def test_administrator_needs_address_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _faults(monkeypatch, BIOSPARK_BOOTSTRAP_ADMIN_EMAIL="admin@example.org")
    assert lines == ["BIOSPARK_BOOTSTRAP_ADMIN_EMAIL and _PASSWORD must be set together"]


def test_proxies_are_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _faults(monkeypatch, BIOSPARK_TRUSTED_PROXIES="10.0.0.0/8, gateway")
    assert lines == ["BIOSPARK_TRUSTED_PROXIES: Input should be networks like 10.0.0.0/8, with commas between"]


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSPARK_DATABASE_PASSWORD", "seven-Blue-lanterns")
    assert "seven-Blue" not in repr(load_settings())


ROOT = Path(__file__).parents[3]
SOURCES = [ROOT / "Makefile", ROOT / ".ci" / "run", *(ROOT / "dev").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
#: Variables that the project's other programs read of their environment, as they are written there.
READ = re.compile(r"""(?:environ(?:\.get\(|\[)|getenv\()\s*["'](BIOSPARK_\w+)|\$[({]?(BIOSPARK_\w+)""")


def test_variables_of_the_project_s_other_programs_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {a or b for source in SOURCES for a, b in READ.findall(source.read_text(encoding="utf-8"))}
    own = {variable(field) for field in Settings.model_fields}
    others = {name for name in named if name not in own and name.removesuffix("_FILE") not in own}
    assert "BIOSPARK_INSTANCE" in others
    for name in {*others, "BIOSPARK_OPERATOR_NAMESPACE", "BIOSPARK_OPERATOR_PLATFORM__API_IMAGE"}:
        monkeypatch.setenv(name, "of-the-shell")
    assert load_settings() == Settings()


def test_misspelt_setting_gets_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _faults(monkeypatch, BIOSPARK_LOGLEVEL="debug")
    assert lines == ["BIOSPARK_LOGLEVEL: there is no such setting; did you mean BIOSPARK_LOG_LEVEL?"]


def test_both_servers_on_one_port_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = _faults(monkeypatch, BIOSPARK_PORT="9090")
    assert lines == ["BIOSPARK_PORT and BIOSPARK_METRICS_PORT must differ"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BIOSPARK_API_SERVICE_HOST", "10.0.0.1"),
        ("BIOSPARK_API_SERVICE_PORT_HTTP", "8080"),
        ("BIOSPARK_API_PORT", "tcp://10.0.0.1:8080"),
        ("BIOSPARK_API_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_variables_of_kubernetes_services_are_no_settings(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert load_settings() == Settings()


def test_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.setenv(variable(field), "")
    assert load_settings() == Settings()
