"""Where settings come from, which source wins, and what is said of wrong ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from biospark_operator.runtime.settings import CONFIG_VARIABLE, LogFormat, LogLevel, WrongSettingsError, load


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("BIOSPARK_OPERATOR_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file; a test writes it."""
    path = tmp_path / "settings.yaml"
    monkeypatch.setenv(CONFIG_VARIABLE, str(path))
    return path


def wrong() -> list[str]:
    with pytest.raises(WrongSettingsError) as raised:
        load()
    return raised.value.lines


def test_without_any_setting_the_defaults_count() -> None:
    settings = load()
    assert (settings.namespace, settings.log_format, settings.leader_election) == (
        "biospark-system",
        LogFormat.JSON,
        True,
    )


def test_variables_carry_the_prefix_and_nest_with_two_underscores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSPARK_OPERATOR_LOG_LEVEL", "ERROR")
    monkeypatch.setenv("BIOSPARK_OPERATOR_PLATFORM__DRAIN_SECONDS", "7")
    monkeypatch.setenv("BIOSPARK_OPERATOR_PLATFORM__NETWORK__DNS_PORTS", "[5353]")
    settings = load()
    assert settings.log_level is LogLevel.ERROR
    assert settings.platform.drain_seconds == 7
    assert settings.platform.network.dns_ports == (5353,)


@pytest.mark.parametrize(
    ("name", "value"),
    [("NAMESPACE", "stray"), ("PASSES", "3"), ("requests", "5"), ("PLATFORM", "linux"), ("POD_NAME", "stray")],
)
def test_variables_without_the_prefix_are_not_ours(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    before = load()
    monkeypatch.setenv(name, value)
    assert load() == before


def test_the_file_is_written_in_camel_case(file: Path) -> None:
    file.write_text("logFormat: text\npasses: 3\nplatform:\n  apiImage: registry.example/api:1\n")
    settings = load()
    assert settings.log_format is LogFormat.TEXT
    assert settings.platform.api_image == "registry.example/api:1"


def test_a_variable_wins_over_the_file_field_by_field(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("passes: 3\nlogLevel: ERROR\nplatform: {drainSeconds: 9, shutdownSeconds: 11}\n")
    monkeypatch.setenv("BIOSPARK_OPERATOR_PASSES", "4")
    monkeypatch.setenv("BIOSPARK_OPERATOR_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("BIOSPARK_OPERATOR_PLATFORM__DRAIN_SECONDS", "8")
    settings = load()
    assert (settings.passes, settings.log_level) == (4, LogLevel.DEBUG)
    assert (settings.platform.drain_seconds, settings.platform.shutdown_seconds) == (8, 11)


def test_labels_in_a_variable_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSPARK_OPERATOR_PLATFORM__NETWORK__DNS", '{"namespace": "dns", "podLabels": {"a_b": "c_d"}}')
    assert load().platform.network.dns.pod_labels == {"a_b": "c_d"}


def test_an_empty_file_sets_nothing(file: Path) -> None:
    file.write_text("")
    assert load().passes == 16


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("passes: 0", "passes: Input should be greater than or equal to 1"),
        ("pases: 1", "pases: there is no such setting"),
        ("platform: {apiImag: x}", "platform.apiImag: there is no such setting"),
        ("platform: 3", "platform: Input should be"),
        ("logLevel: LOUD", "logLevel: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("- a", "is not a YAML mapping"),
        ("a: [", "is not a YAML mapping"),
    ],
)
def test_a_wrong_file_is_explained(file: Path, text: str, line: str) -> None:
    file.write_text(text)
    assert len(wrong()) == 1
    assert line in wrong()[0]


def test_every_wrong_setting_has_its_line(file: Path) -> None:
    file.write_text("passes: 0\nrequests: many\n")
    assert [line.partition(":")[0] for line in wrong()] == ["passes", "requests"]


def test_values_are_not_repeated(file: Path) -> None:
    file.write_text("passes: planted\nplatform: {apiImage: 'planted planted'}\n")
    assert "planted" not in " ".join(wrong())


def test_a_file_that_is_not_there_is_an_error(file: Path) -> None:
    assert wrong() == [f"{CONFIG_VARIABLE}: there is no file {file}"]


def test_a_variable_that_is_not_json_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIOSPARK_OPERATOR_PLATFORM", "{planted")
    assert "platform" in wrong()[0]
    assert "write JSON" in wrong()[0]
    assert "planted" not in wrong()[0]


@pytest.mark.parametrize("name", ["BIOSPARK_OPERATOR_LEADER_ELECTON", "BIOSPARK_OPERATOR_PLATFROM__API_IMAGE"])
def test_a_misspelt_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert wrong() == [f"{name}: there is no such setting"]


@pytest.mark.parametrize("name", ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP_ADDR"])
def test_variables_that_kubernetes_makes_of_a_service_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"BIOSPARK_OPERATOR_{name}", "tcp://10.0.0.1:8080")
    assert load().passes == 16


def started(**variables: str) -> subprocess.CompletedProcess[str]:
    """Start the operator with these variables; it is expected to end by itself."""
    env = {name: value for name, value in os.environ.items() if name != "KUBERNETES_SERVICE_HOST"} | variables
    command = [sys.executable, "-m", "biospark_operator.runtime.main"]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def test_wrong_settings_end_the_process_with_2_and_a_line_each() -> None:
    done = started(BIOSPARK_OPERATOR_PASSES="0", BIOSPARK_OPERATOR_LOG_LEVEL="LOUD")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("biospark-operator: wrong setting ") for line in lines)


def test_without_a_cluster_the_process_ends_with_1_and_says_what_to_do(tmp_path: Path) -> None:
    done = started(KUBECONFIG=str(tmp_path / "none"))
    assert done.returncode == 1
    assert "set KUBECONFIG" in done.stderr
    assert "Traceback" not in done.stderr
