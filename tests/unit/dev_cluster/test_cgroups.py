"""Control groups on both versions of the kernel's interface, on a directory that looks like it."""

from pathlib import Path

import pytest

from dev.cluster import cgroups


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    for controller in ("cpu,cpuacct", "cpuset", "memory"):
        (tmp_path / controller).mkdir()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-3")
    (tmp_path / "cpuset" / "cpuset.mems").write_text("0")
    return tmp_path


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids")
    return tmp_path


def test_every_controller_of_version_1_gets_the_group_once(version_1: Path) -> None:
    cgroups.create("/biospark-x", version_1)
    assert cgroups.roots("/biospark-x", version_1) == [
        version_1 / name / "biospark-x" for name in ("cpu,cpuacct", "cpuset", "memory")
    ]
    assert all(root.is_dir() for root in cgroups.roots("/biospark-x", version_1))


def test_the_group_of_version_1_may_use_every_processor(version_1: Path) -> None:
    cgroups.create("/biospark-x", version_1)
    assert (version_1 / "cpuset" / "biospark-x" / "cpuset.cpus").read_text() == "0-3"


def test_version_2_gets_one_group_with_the_controllers_there_are(version_2: Path) -> None:
    cgroups.create("/biospark-x", version_2)
    assert cgroups.roots("/biospark-x", version_2) == [version_2 / "biospark-x"]
    assert (version_2 / "cgroup.subtree_control").read_text() == "+cpu +cpuset +memory +pids"


def test_processes_are_found_in_nested_groups(version_2: Path) -> None:
    pod = version_2 / "biospark-x" / "kubepods" / "pod1"
    pod.mkdir(parents=True)
    (pod / "cgroup.procs").write_text("12\n34\n")
    assert cgroups.processes("/biospark-x", version_2) == {12, 34}


def test_removing_takes_nested_groups_along_and_may_be_repeated(version_1: Path) -> None:
    for root in cgroups.roots("/biospark-x", version_1):
        (root / "kubepods" / "pod1").mkdir(parents=True)
    cgroups.remove("/biospark-x", version_1)
    assert not any(root.exists() for root in cgroups.roots("/biospark-x", version_1))
    cgroups.remove("/biospark-x", version_1)
