"""The operator as one real process with the settings of production, and what it uses of the machine."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.scale.load import IMAGE, OPERATOR_NAMESPACE

_TICKS = os.sysconf("SC_CLK_TCK")
#: Seconds without a pass after which the operator counts as idle.
QUIET = 3.0


@dataclass(frozen=True)
class Usage:
    """Processor time in seconds, of user and system together, and the most memory ever resident, in MiB."""

    cpu_seconds: float
    peak_mib: float


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used, of user and system together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class OperatorProcess:
    """One operator at a time, started again under the same name."""

    def __init__(self, kubeconfig: Path, log: Path, profile: Path | None = None) -> None:
        self.log = log
        self._kubeconfig, self._profile = kubeconfig, profile
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    async def start(self) -> None:
        """Start the process unless it runs, and return when it leads."""
        if self._process is not None and self._process.poll() is None:
            return
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        settings = {
            "NAMESPACE": OPERATOR_NAMESPACE,
            "POD_NAME": "benchmark",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(self._port),
            "PLATFORM__API_IMAGE": IMAGE,
            "PLATFORM__LIMITS__QUOTA__CPU": "9000",  # of environments whose pods fit on no node
        }
        # In an image, modules are compiled once; without that a start is mostly compilation.
        unwanted = {"KUBERNETES_SERVICE_HOST", "PYTHONDONTWRITEBYTECODE"}
        env = {name: value for name, value in os.environ.items() if name not in unwanted}
        env |= {"KUBECONFIG": str(self._kubeconfig), **{f"BIOSPARK_OPERATOR_{k}": v for k, v in settings.items()}}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), env=env, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while not await self._metric("biospark_operator_leader"):
            self.fail_unless_running()
            if time.monotonic() > deadline:
                raise AssertionError(f"the operator does not lead after 60 s\n{self.tail()}")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End the process in good order; does nothing if it has ended."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(self._process.wait, 40)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    def usage(self) -> Usage:
        """Return what the running process has used since it was started."""
        proc = Path(f"/proc/{self._pid}")
        peak = re.search(r"^VmHWM:\s+(\d+) kB", (proc / "status").read_text(), re.MULTILINE)
        assert peak is not None
        return Usage(cpu_seconds(self._pid), int(peak[1]) / 1024)

    async def passes(self) -> int:
        """Return how many passes were made since the start."""
        return int(await self._metric("biospark_operator_pass_seconds_count"))

    async def quiet(self, seconds: float, at_least: int = 0) -> float:
        """Wait until no pass was made for `QUIET` seconds, and return when the last one was seen, monotonic.

        Before that there must have been `at_least` passes since the start of the process.
        """
        deadline, seen, since = time.monotonic() + seconds, -1, 0.0
        while True:
            count = await self.passes()
            if count != seen:
                seen, since = count, time.monotonic()
            elif count >= at_least and time.monotonic() - since > QUIET:
                return since
            self.fail_unless_running()
            if time.monotonic() > deadline:
                raise AssertionError(f"{count} passes after {seconds:.0f} s, and no rest\n{self.tail()}")
            await asyncio.sleep(0.5)

    def fail_unless_running(self) -> None:
        """Raise with the end of the log if the process has ended."""
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"the operator does not run\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of the log."""
        return self.log.read_text()[-6000:]

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _command(self) -> Sequence[str]:
        if self._profile is None:
            return [sys.executable, "-m", "biospark_operator.runtime.main"]
        return [sys.executable, "-m", "cProfile", "-o", str(self._profile), "-m", "biospark_operator.runtime.main"]

    async def _metric(self, name: str) -> float:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.get(f"http://127.0.0.1:{self._port}/metrics") as answer,
            ):
                found = re.search(rf"^{name} (\S+)$", await answer.text(), re.MULTILINE)
        except (aiohttp.ClientError, TimeoutError):
            return 0.0
        return float(found[1]) if found else 0.0
