"""Instances never share a port, an address or a directory, and survive being read again."""

import threading
from pathlib import Path

import pytest

from dev.cluster import instance as instances
from dev.cluster.instance import ClusterError

pytestmark = pytest.mark.usefixtures("state")


def test_an_instance_is_the_same_when_it_is_read_again() -> None:
    assert instances.load_or_create("one") == instances.load_or_create("one") == instances.load("one")


def test_two_instances_share_nothing() -> None:
    one, other = instances.load_or_create("one"), instances.load_or_create("other")

    for name in ("index", "directory", "service_cidr", "pod_cidr", "host_address", "link", "cgroup", "node_name"):
        assert getattr(one, name) != getattr(other, name), name


def test_the_default_instance_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIOSPARK_INSTANCE", raising=False)
    assert instances.default_name() == "dev"
    monkeypatch.setenv("BIOSPARK_INSTANCE", "demo")
    assert instances.default_name() == "demo"


@pytest.mark.parametrize("name", ["", "Upper", "a/b", "..", "-a", "a-", "x" * 33, "a b"])
def test_a_name_that_cannot_be_a_directory_or_a_host_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="instance name"):
        instances.directory_of(name)


def test_a_directory_too_long_for_sockets_is_refused_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", f"/tmp/{'x' * 100}")
    with pytest.raises(ClusterError, match="XDG_STATE_HOME"):
        instances.directory_of("one")


def test_a_damaged_file_says_how_to_go_on() -> None:
    instance = instances.load_or_create("one")
    (instance.directory / "instance.json").write_text("{")
    with pytest.raises(ClusterError, match="run `down`"):
        instances.load("one")


def test_the_kernel_accepts_the_name_of_the_link() -> None:
    assert len(instances.unnumbered("one").link) <= 15


def test_ports_are_free_and_different() -> None:
    ports = instances.choose_ports("one")
    chosen = {ports.api, ports.etcd, ports.etcd_peer}
    assert len(chosen) == 3
    assert all(instances.port_is_free(port) for port in chosen)


def test_all_address_ranges_of_one_instance_are_apart_from_those_of_the_last() -> None:
    first = instances.Instance("a", Path("/a"), 0, instances.Ports(1, 2, 3))
    last = instances.Instance("b", Path("/b"), instances.MOST_INSTANCES - 1, instances.Ports(1, 2, 3))
    assert (first.service_cidr, last.service_cidr) == ("10.176.0.0/16", "10.191.0.0/16")
    assert (first.pod_cidr, last.pod_cidr) == ("10.192.0.0/16", "10.207.0.0/16")
    assert (first.host_address, last.node_address) == ("10.208.0.1", "10.208.15.2")


def test_who_waited_for_the_lock_of_a_removed_directory_gets_the_lock_of_the_new_one(tmp_path: Path) -> None:
    directory = tmp_path / "locked"
    waiting, seen = threading.Event(), []

    def second() -> None:
        waiting.set()
        with instances.locked(directory):
            seen.append(directory.exists())

    with instances.locked(directory):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait()
        directory.rmdir()
    thread.join(timeout=10)

    assert seen == [True]


def test_state_and_key_directories_are_private() -> None:
    instance = instances.load_or_create("one")
    for directory in (instance.directory, instance.pki, instance.logs):
        assert directory.stat().st_mode & 0o077 == 0
