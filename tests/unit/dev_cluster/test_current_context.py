"""Which clusters CLUSTER=current accepts: tests create and delete things, so only one's own machine."""

import pytest

from dev.cluster.current import flattened, looks_local, refuse_remote
from dev.cluster.instance import ClusterError


@pytest.mark.parametrize(
    ("context", "server"),
    [
        ("kind-biospark", "https://127.0.0.1:41233"),
        ("minikube", "https://192.168.49.2:8443"),
        ("docker-desktop", "https://kubernetes.docker.internal:6443"),
        ("k3d-test", "https://0.0.0.0:6550"),
        ("anything", "https://localhost:6443"),
        ("anything", "https://[::1]:6443"),
        ("biospark-dev", "https://10.208.0.1:20001"),
    ],
)
def test_a_cluster_on_this_machine_is_local(context: str, server: str) -> None:
    assert looks_local(context, server)


@pytest.mark.parametrize(
    ("context", "server"),
    [
        ("production", "https://10.0.0.1:6443"),
        ("production", "https://api.example.com:6443"),
        ("kind-of-production", "https://api.example.com"),
        ("minikube", "https://203.0.113.7:8443"),
        ("minikube-production", "https://192.168.1.2:8443"),
        ("localhost", "https://cluster.example.com"),
        ("production", "https://localhost.example.com"),
        ("production", "https://vpc.internal.example.com"),
    ],
)
def test_any_other_cluster_is_not_local(context: str, server: str) -> None:
    assert not looks_local(context, server)


def test_refusing_names_context_and_server_and_says_what_to_do() -> None:
    config = {"current-context": "production", "clusters": [{"cluster": {"server": "https://api.example.com"}}]}

    with pytest.raises(ClusterError) as refused:
        refuse_remote(config)

    for part in ("production", "https://api.example.com", "kubectl config use-context", "--yes-really"):
        assert part in str(refused.value)


def test_a_context_without_client_certificate_is_refused_and_its_token_stays_secret() -> None:
    with pytest.raises(ClusterError, match="no client certificate") as refused:
        flattened({"current-context": "minikube", "users": [{"user": {"token": "s3cret"}}]})

    assert "s3cret" not in str(refused.value)
