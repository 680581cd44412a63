"""Where credentials come from, and that those which run out are renewed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml

from biospark_operator.clients.credentials import configuration
from biospark_operator.engine.errors import AccessError


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def kubeconfig(folder: Path, user: object) -> str:
    path = folder / "config"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return str(path)


def plugin(folder: Path, expires: str | None) -> dict[str, object]:
    """An exec plugin whose token tells how often it was run."""
    status = {"token": "run-%d", **({"expirationTimestamp": expires} if expires else {})}
    answer = json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status})
    program = folder / "plugin"
    program.write_text(
        f"#!{sys.executable}\n"
        "from pathlib import Path\n"
        f"runs = Path({str(folder / 'runs')!r})\n"
        "with runs.open('a') as file: file.write('x')\n"
        f"print({answer!r} % len(runs.read_text()))\n"
    )
    program.chmod(0o755)
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(program)}}


async def test_the_kubeconfig_of_the_environment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, {"token": "t"}))
    settings = await configuration()
    assert settings.host == "https://127.0.0.1:1"
    assert await settings.get_api_key_with_prefix("BearerToken") == "Bearer t"


@pytest.mark.parametrize(
    ("expires", "token"),
    [("2001-01-01T00:00:00Z", "Bearer run-2"), ("2999-01-01T00:00:00Z", "Bearer run-1"), (None, "Bearer run-1")],
)
async def test_a_plugin_is_run_again_when_its_token_has_run_out(
    tmp_path: Path, expires: str | None, token: str
) -> None:
    settings = await configuration(kubeconfig(tmp_path, plugin(tmp_path, expires)))
    assert await settings.get_api_key_with_prefix("BearerToken") == token


async def test_no_kubeconfig_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AccessError, match="set KUBECONFIG, or run in a pod"):
        await configuration(str(tmp_path / "none"))
