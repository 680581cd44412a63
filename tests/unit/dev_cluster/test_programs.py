"""Programs are built once per change of their pins, whatever toolchain there is."""

from pathlib import Path

import pytest

from dev.cluster import programs
from dev.cluster.instance import ClusterError


def pins(directory: Path, **files: str) -> str:
    for name, content in files.items():
        (directory / name.replace("_", ".")).write_text(content)
    return programs.hash_of_pins(directory)


def fake_go(directory: Path, version: str) -> Path:
    go = directory / "go"
    go.write_text(f"#!/bin/sh\necho go version go{version} linux/amd64\n")
    go.chmod(0o755)
    return go


def test_the_same_pins_have_the_same_hash(tmp_path: Path) -> None:
    assert pins(tmp_path, go_mod="module x") == programs.hash_of_pins(tmp_path)


@pytest.mark.parametrize("changed", ["go_mod", "go_sum", "main_go"])
def test_every_pinned_file_changes_the_hash(tmp_path: Path, changed: str) -> None:
    before = pins(tmp_path, go_mod="module x", go_sum="a h1:1=", main_go="package main")
    assert pins(tmp_path, **{changed: "something else"}) != before


def test_a_file_moved_to_another_name_changes_the_hash(tmp_path: Path) -> None:
    before = pins(tmp_path, a_go="package main")
    (tmp_path / "a.go").rename(tmp_path / "b.go")
    assert programs.hash_of_pins(tmp_path) != before


def test_go_in_path_is_taken_when_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = fake_go(tmp_path, "1.99.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert programs.find_go({"etcd"}) == go


def test_the_toolchain_of_the_environment_is_taken_when_the_one_in_path_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "environment").mkdir()
    fake_go(tmp_path / "old", "1.19.8")
    newer = fake_go(tmp_path / "environment", "1.99")
    monkeypatch.setenv("PATH", f"{tmp_path}/old:/usr/bin:/bin")
    monkeypatch.setattr("sys.executable", str(tmp_path / "environment" / "python"))
    assert programs.find_go({"etcd"}) == newer


def test_without_a_toolchain_the_message_says_which_version_and_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(ClusterError, match=r"Go 1\.\d+.* or newer .* `make tools`"):
        programs.find_go({"etcd"})


def test_kubernetes_programs_know_their_version() -> None:
    flags = programs.link_flags(programs.PROGRAMS["kubelet"])
    lines = (programs.SOURCES / "kubernetes" / "go.mod").read_text().splitlines()
    words = (line.strip().removeprefix("require ").split() for line in lines)
    pin = next(line[1] for line in words if line and line[0] == "k8s.io/kubernetes")
    assert f"version.gitVersion={pin} " in flags
    assert "version.gitMinor=" in flags


@pytest.mark.parametrize("group", [*programs.kubernetes_groups(), "validation"])
def test_all_staging_modules_of_kubernetes_are_of_one_version(group: str) -> None:
    lines = (programs.SOURCES / group / "go.mod").read_text().splitlines()
    versions = {line.split()[-1] for line in lines if "=> k8s.io/" in line}
    assert versions == {"v0." + ".".join(programs.kubernetes_pin(group)[1:])}


def test_a_version_of_kubernetes_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES", raising=False)
    default = programs.binary("kube-apiserver")
    for group in programs.kubernetes_groups():
        monkeypatch.setenv("KUBERNETES", programs.minor(group))
        assert programs.binary("kube-apiserver").is_relative_to(programs.cache_of(group))
        assert f"v{programs.minor(group)}." in programs.link_flags(programs.PROGRAMS["kubelet"])
    assert default.is_relative_to(programs.cache_of("kubernetes"))


def test_other_programs_are_the_same_for_every_version_of_kubernetes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES", raising=False)
    before = programs.binary("etcd")
    monkeypatch.setenv("KUBERNETES", programs.minor(programs.kubernetes_groups()[-1]))
    assert programs.binary("etcd") == before


def test_a_version_that_is_not_tested_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES", "1.12")
    with pytest.raises(ClusterError, match=r"KUBERNETES=1\.12: write 1\.\d+, .* or 1\.\d+"):
        programs.binary("kube-apiserver")


def test_a_version_needs_the_toolchain_of_its_own_pins_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for group, version in (("old", "1.20.0"), ("new", "1.98.0")):
        (tmp_path / group).mkdir()
        (tmp_path / group / "go.mod").write_text(f"module x\n\ngo {version}\n")
    monkeypatch.setattr(programs, "SOURCES", tmp_path)
    go = fake_go(tmp_path, "1.26.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("sys.executable", str(tmp_path / "nowhere" / "python"))
    assert programs.find_go({"old"}) == go
    with pytest.raises(ClusterError, match=r"Go 1\.98"):
        programs.find_go({"old", "new"})


def test_every_program_has_its_pins_and_belongs_to_a_size() -> None:
    assert set(programs.PROGRAMS) == {*programs.CONTROL_PLANE, *programs.NODE, *programs.FAKE_NODES, *programs.CHECKS}
    for program in programs.PROGRAMS.values():
        assert (programs.SOURCES / program.group / "go.mod").is_file()


def test_what_is_cached_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = programs.binary("pause")
    target.parent.mkdir(parents=True)
    target.write_text("")
    said: list[str] = []

    assert programs.path("pause", said.append) == target
    assert said == []


def test_a_failing_build_is_explained_and_leaves_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = tmp_path / "go"
    go.write_text(
        "#!/bin/sh\n[ $1 = version ] && echo go version go1.99 linux/amd64 && exit\necho bad checksum; exit 1\n"
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    with pytest.raises(ClusterError, match="building pause failed") as failure:
        programs.ensure(["pause"], lambda _: None)

    assert "bad checksum" in str(failure.value)
    assert not programs.binary("pause").exists()
