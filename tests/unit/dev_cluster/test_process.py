"""A component is known by more than its process id: nothing foreign is ever trusted or killed."""

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev.cluster import process
from dev.cluster.instance import ClusterError
from dev.cluster.process import Command, Components, Record

SLEEP = Command("sleeper", ("sleep", "60"))


@pytest.fixture
def components(tmp_path: Path) -> Iterator[Components]:
    (tmp_path / "run").mkdir()
    (tmp_path / "logs").mkdir()
    found = Components(tmp_path / "run", tmp_path / "logs")
    yield found
    for name in found.names():
        found.stop(name, grace=0)


@pytest.fixture
def stranger() -> Iterator[Record]:
    """A process of somebody else, described correctly.

    It has answered, because for a moment after its start a process has no command line to be known by.
    """
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as foreign:
        assert foreign.stdin is not None
        assert foreign.stdout is not None
        foreign.stdin.write(b"there?\n")
        foreign.stdin.flush()
        assert foreign.stdout.readline() == b"there?\n"
        started = process.start_time(foreign.pid)
        assert started is not None
        yield Record(foreign.pid, started, process.boot_id(), ("cat",), "")
        foreign.kill()


def says(components: Components, name: str, word: str) -> Callable[[], bool]:
    """Ready once the component has printed `word`."""
    return lambda: word in components.log(name).read_text()


def test_a_running_component_is_not_started_again(components: Components) -> None:
    assert components.ensure(SLEEP)
    pid = components.pid("sleeper")
    assert not components.ensure(SLEEP)
    assert components.pid("sleeper") == pid is not None


def test_a_component_with_other_options_is_replaced(components: Components) -> None:
    components.ensure(SLEEP)
    before = components.pid("sleeper")
    assert components.ensure(Command("sleeper", ("sleep", "61")))
    after = components.pid("sleeper")
    assert after not in (None, before)


def test_a_component_whose_configuration_file_changed_is_replaced(components: Components, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("server: https://127.0.0.1:1")
    command = Command("sleeper", ("sh", "-c", "sleep 60", f"--kubeconfig={file}"))
    assert components.ensure(command)
    assert not components.ensure(command)
    file.write_text("server: https://127.0.0.1:2")
    assert components.ensure(command)


def test_a_component_killed_by_force_does_not_run_and_starts_again(components: Components) -> None:
    components.ensure(SLEEP)
    pid = components.pid("sleeper")
    assert pid is not None
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # a zombie until somebody collects it

    assert components.pid("sleeper") is None
    assert components.ensure(SLEEP)


def test_stopping_ends_the_process_and_forgets_it(components: Components) -> None:
    components.ensure(SLEEP)
    pid = components.pid("sleeper")
    assert pid is not None
    components.stop("sleeper")
    assert process.start_time(pid) is None
    assert components.names() == []


def test_a_component_that_ignores_the_polite_signal_is_killed(components: Components) -> None:
    script = "trap '' TERM; echo set; while :; do sleep 1; done"
    components.bring_up(Command("stubborn", ("sh", "-c", script)), says(components, "stubborn", "set"), 5)
    pid = components.pid("stubborn")
    components.stop("stubborn", grace=0.1)
    assert pid is not None
    assert process.start_time(pid) is None


@pytest.mark.parametrize(
    "change",
    [{"started": 1}, {"boot": "another boot"}, {"argv": ("kube-apiserver",)}],
    ids=lambda change: next(iter(change)),
)
def test_a_process_that_got_the_old_process_id_is_neither_trusted_nor_killed(
    components: Components, stranger: Record, tmp_path: Path, change: dict[str, object]
) -> None:
    stale = dataclasses.asdict(stranger) | change
    (tmp_path / "run" / "sleeper.json").write_text(json.dumps(stale))

    assert components.pid("sleeper") is None
    components.stop("sleeper")
    assert process.start_time(stranger.pid) == stranger.started


def test_a_half_written_record_counts_as_not_running(components: Components, tmp_path: Path) -> None:
    (tmp_path / "run" / "sleeper.json").write_text('{"pid": 1')
    assert components.pid("sleeper") is None


def test_a_component_that_dies_while_starting_is_explained_by_its_last_lines(components: Components) -> None:
    broken = Command("broken", ("sh", "-c", "echo 'flag --x is unknown' >&2; exit 1"))

    with pytest.raises(ClusterError, match="broken ended while it was starting") as failure:
        components.bring_up(broken, lambda: False, 10)

    assert "flag --x is unknown" in str(failure.value)
    assert str(components.log("broken")) in str(failure.value)


def test_a_component_that_never_gets_ready_is_explained(components: Components) -> None:
    with pytest.raises(ClusterError, match="sleeper was not ready after 0 s"):
        components.bring_up(SLEEP, lambda: False, 0)


def test_a_component_that_was_dying_when_it_was_looked_at_is_started_after_all(components: Components) -> None:
    components.ensure(SLEEP)
    before = components.pid("sleeper")
    looks = 0

    def dies_at_the_first_look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            assert before is not None
            os.kill(before, 9)
            os.waitid(os.P_PID, before, os.WEXITED | os.WNOWAIT)
        return looks == 3

    assert components.bring_up(SLEEP, dies_at_the_first_look, 10)
    assert components.pid("sleeper") not in (None, before)


def test_components_do_not_inherit_proxies_and_credentials(
    components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    printer = Command("printer", ("sh", "-c", "env; echo done; sleep 60"), environment={"GOGC": "200"})
    components.bring_up(printer, says(components, "printer", "done"), 5)
    printed = components.log("printer").read_text()
    assert "GOGC=200" in printed
    assert "PROXY" not in printed
