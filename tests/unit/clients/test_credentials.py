"""Where credentials come from, and that those which run out are renewed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from biospark_operator.clients.kubernetes.credentials import configuration
from biospark_operator.engine.errors import AccessError

#: Nobody listens there.
DEAD_PROXY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBERNETES_SERVICE_HOST", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def kubeconfig(folder: Path, user: object, server: str = "https://127.0.0.1:1", **cluster: str) -> str:
    path = folder / "config"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": server, **cluster}}],
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


def in_pod(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Have this process believe that it is a container of a pod."""
    for constant, file in (("SERVICE_TOKEN_FILENAME", "token"), ("SERVICE_CERT_FILENAME", "ca.crt")):
        (folder / file).write_text("x")
        monkeypatch.setattr(incluster_config, constant, str(folder / file))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")


@pytest.mark.parametrize(
    ("host", "url"), [("10.96.0.1", "https://10.96.0.1:443"), ("fd00:10:96::1", "https://[fd00:10:96::1]:443")]
)
async def test_in_a_cluster_no_proxy_stands_before_the_api_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, url: str
) -> None:
    in_pod(tmp_path, monkeypatch, host)
    monkeypatch.setenv("HTTPS_PROXY", DEAD_PROXY)
    settings = await configuration()
    assert (settings.host, settings.proxy) == (url, None)
    assert settings.client_session_kwargs == {"trust_env": False}


@pytest.mark.parametrize(
    ("cluster", "without", "proxy"),
    [
        ({}, "", DEAD_PROXY),
        ({}, "192.0.2.0/24", None),
        ({"proxy-url": "http://of-the-cluster.example:3128"}, "192.0.2.0/24", "http://of-the-cluster.example:3128"),
    ],
)
async def test_outside_a_cluster_a_proxy_is_the_kubeconfig_s_or_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: dict[str, str], without: str, proxy: str | None
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", DEAD_PROXY)
    monkeypatch.setenv("NO_PROXY", without)
    settings = await configuration(kubeconfig(tmp_path, {"token": "t"}, "https://192.0.2.7:6443", **cluster))
    assert settings.proxy == proxy
    assert settings.client_session_kwargs == {"trust_env": False}
