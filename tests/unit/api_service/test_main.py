"""The program's exit codes and what it tells whoever started it."""

import socket
import subprocess
import sys

import pytest

from biospark_api.main import main
from biospark_api.settings import Settings, variable


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["biospark-api"])


def test_wrong_settings_exit_with_2_and_one_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BIOSPARK_PORT", "70000")
    monkeypatch.setenv("BIOSPARK_COLOUR", "red")
    with pytest.raises(SystemExit) as ended:
        main()
    lines = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert lines[0].startswith("biospark-api: BIOSPARK_COLOUR: there is no such setting; known are BIOSPARK_")
    assert lines[1:] == ["biospark-api: BIOSPARK_PORT: Input should be less than or equal to 65535"]


def test_taken_port_exits_with_1_and_names_the_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("biospark_api.main.configure_logging", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("BIOSPARK_PORT", str(port))
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    reason = f"cannot listen on 127.0.0.1 port {port} (BIOSPARK_HOST, BIOSPARK_PORT): Address already in use"
    assert capsys.readouterr().err == f"biospark-api: {reason}\n"


def test_help_lists_every_setting(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["biospark-api", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert [name for name in Settings.model_fields if variable(name) not in text] == []


def test_schema_is_imported_without_the_web_framework() -> None:
    code = "import sys, biospark_api.schema; print({'fastapi', 'starlette', 'uvicorn'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
