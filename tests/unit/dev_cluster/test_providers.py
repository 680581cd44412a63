"""Clusters from elsewhere: what they refuse, and that they never touch a local cluster's files."""

from pathlib import Path

import pytest

from dev.cluster import current
from dev.cluster import instance as instances
from dev.cluster.cluster import Cluster, provider_for
from dev.cluster.current import CurrentProvider
from dev.cluster.images import Recipe
from dev.cluster.instance import ClusterError
from dev.cluster.kind import KindProvider
from dev.cluster.local import LocalProvider
from dev.cluster.size import Size

RECIPE = Recipe(Path("api/Dockerfile"), Path(), "localhost/biospark/api:dev")


pytestmark = pytest.mark.usefixtures("state")


def quiet(_: str) -> None:
    """Nobody listens."""


@pytest.mark.parametrize(
    ("kind", "provider"),
    [("", LocalProvider), ("local", LocalProvider), ("kind", KindProvider), ("current", CurrentProvider)],
)
def test_the_environment_chooses_the_provider(kind: str, provider: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", kind)
    assert isinstance(Cluster.for_instance("test").provider, provider)


def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ClusterError, match=r"local .*, kind or current"):
        provider_for("minikube", "dev")


def test_leaving_the_current_context_spares_a_local_cluster_of_the_same_name() -> None:
    local = instances.load_or_create("test")
    CurrentProvider("test").down(quiet)
    assert instances.load("test") == local


def test_a_remote_context_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "current-context": "production",
        "clusters": [{"cluster": {"server": "https://api.example.com"}}],
        "users": [{"user": {"client-certificate-data": ""}}],
    }
    monkeypatch.setattr(current, "current_config", lambda: config)
    with pytest.raises(ClusterError, match="--yes-really"):
        CurrentProvider("test").up(Size.NODE, quiet)
    assert not instances.state_root().exists()


def test_images_for_somebody_elses_cluster_are_the_users_business() -> None:
    with pytest.raises(ClusterError, match="docker build -f api/Dockerfile"):
        CurrentProvider("test").build(RECIPE, quiet)


def test_kind_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="needs `kind` in PATH"):
        KindProvider("test").up(Size.NODE, quiet)
    assert not instances.state_root().exists()


@pytest.mark.parametrize("provider", [LocalProvider("test"), CurrentProvider("test"), KindProvider("test")])
def test_a_cluster_that_was_never_started_says_how_to_start_it(provider: LocalProvider) -> None:
    with pytest.raises(ClusterError, match="make cluster-up"):
        _ = provider.kubeconfig


def test_kind_builds_with_docker_and_loads_both_tags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    for name in ("docker", "kind"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")

    reference = KindProvider("test").build(
        Recipe(tmp_path / "Dockerfile", tmp_path, "localhost/biospark/api:dev", {"A": "b"}), quiet
    )

    build, load = calls.read_text().splitlines()
    assert f"--build-arg=A=b --tag={reference} --tag=localhost/biospark/api:dev" in build
    assert load == f"kind load docker-image --name biospark-test {reference} localhost/biospark/api:dev"
