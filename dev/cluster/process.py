"""Components as background processes: start, recognise, stop, explain.

A component outlives the command that started it, so its identity is written down: process id, start time, boot
id. A process id alone may belong to somebody else by now, after a crash as after a reboot; nothing is ever
trusted or killed before the identity was checked against /proc. Used by the control plane and the node.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from dev.cluster.instance import ClusterError
from dev.cluster.packages import administrator_path

TAIL_LINES = 15
LARGEST_LOG = 20 * 1024 * 1024
POLL_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Command:
    """How a component is started. `wrapper` is what execs it, such as nsenter, and does not identify it."""

    name: str
    argv: tuple[str, ...]
    wrapper: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Record:
    """What identifies a started component for good."""

    pid: int
    started: int
    boot: str
    argv: tuple[str, ...]
    configuration: str = ""


class Components:
    """The components of one instance: records in `records`, output in `logs`."""

    def __init__(self, records: Path, logs: Path) -> None:
        self._records = records
        self._logs = logs

    def log(self, name: str) -> Path:
        """Log file of a component."""
        return self._logs / f"{name}.log"

    def names(self) -> list[str]:
        """Every component that was started and not stopped since, running or not."""
        return sorted(path.stem for path in self._records.glob("*.json"))

    def pid(self, name: str) -> int | None:
        """Process id of the running component, None when it does not run (any more)."""
        record = self._read(name)
        return record.pid if record is not None and runs(record) else None

    def ensure(self, command: Command) -> bool:
        """Start the component unless it runs with this very configuration; tell whether it was started."""
        record, wanted = self._read(command.name), configuration(command)
        if record is not None and runs(record):
            if record.configuration == wanted:
                return False
            self.stop(command.name)
        pid = _spawn(command, self.log(command.name))
        self._write(command.name, Record(pid, start_time(pid) or 0, boot_id(), command.argv, wanted))
        return True

    def bring_up(self, command: Command, ready: Callable[[], bool], seconds: float) -> bool:
        """Start the component unless it runs and wait until `ready` holds; tell whether it was started.

        Raises ClusterError with the last log lines when it dies or takes too long. One that ends without having
        been started here was killed just before we looked: it is started after all.
        """
        started = self.ensure(command)
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid(command.name) is None:
                if started:
                    raise ClusterError(f"{command.name} ended while it was starting.\n{self.tail(command.name)}")
                started = self.ensure(command)
            if time.monotonic() > deadline:
                raise ClusterError(f"{command.name} was not ready after {seconds:.0f} s.\n{self.tail(command.name)}")
            time.sleep(POLL_SECONDS)
        return started

    def stop(self, name: str, grace: float = 10) -> None:
        """End the component: SIGTERM, after `grace` seconds SIGKILL. Returns when it is gone."""
        record = self._read(name)
        if record is not None and runs(record):
            end(record, grace)
        (self._records / f"{name}.json").unlink(missing_ok=True)

    def tail(self, name: str) -> str:
        """The last lines of the component's log and where the rest is, for error messages."""
        log = self.log(name)
        try:
            lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        except FileNotFoundError:
            lines = []
        quoted = "\n".join(f"  | {line[:400]}" for line in lines)
        return f"The last lines of {log}:\n{quoted or '  | (empty)'}"

    def _read(self, name: str) -> Record | None:
        try:
            saved = json.loads((self._records / f"{name}.json").read_text())
            return Record(**{**saved, "argv": tuple(saved["argv"])})
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def _write(self, name: str, record: Record) -> None:
        target = self._records / f"{name}.json"
        temporary = target.with_suffix(".new")
        temporary.write_text(json.dumps(dataclasses.asdict(record)))
        temporary.replace(target)


def configuration(command: Command) -> str:
    """A hash of all that a component was told: its options and the content of the files they name."""
    digest = hashlib.sha256(json.dumps([command.argv, sorted(command.environment.items())]).encode())
    for argument in command.argv[1:]:
        file = Path(argument.partition("=")[2])
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()


def runs(record: Record) -> bool:
    """Whether the recorded process itself still runs: same boot, same start time, same program, no zombie."""
    if record.boot != boot_id() or start_time(record.pid) != record.started:
        return False
    words = command_line(record.pid)
    return words == [""] or record.argv[0] in words  # empty: it has been started this very moment


def end(record: Record, grace: float) -> None:
    """Stop a process that was checked to be ours; the handle keeps its id from being reused meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(record.pid)
        try:
            if runs(record):
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                if not _ended(handle, grace):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    _ended(handle, 10)
        finally:
            os.close(handle)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(record.pid, os.WNOHANG)


def start_time(pid: int) -> int | None:
    """Clock ticks between boot and the start of a live process; None for a zombie or no process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def command_line(pid: int) -> list[str]:
    """Arguments of a process, empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def boot_id() -> str:
    """Identity of this boot of the machine: process ids and start times mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _spawn(command: Command, log: Path) -> int:
    """Start in a session of its own, so that Ctrl-C in the terminal does not reach the cluster.

    Of the environment only what every program needs goes along: no proxy settings, no credentials.
    """
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))
    argv = [*command.wrapper, *command.argv]
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    inherited = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
    environment = {**inherited, "PATH": administrator_path(), **command.environment}
    return os.posix_spawnp(argv[0], argv, environment, file_actions=actions, setsid=True)


def _ended(handle: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(int(seconds * 1000)))
