"""Operator processes that start at once: forked from a server process that has imported everything already.

What is killed is a process of its own with the real `main`. Only the time to import it, a good second of
computing each time, is spent once for all. `Operator(..., spawn=forked)` starts such processes.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from kubernetes.config import kube_config

from biospark_operator.runtime import main

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


@dataclass
class Forked:
    """A process, to be used as `subprocess.Popen` is."""

    process: ForkServerProcess

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("biospark-operator", timeout or 0)
        return self.process.exitcode

    def send_signal(self, sig: int) -> None:
        os.kill(self.pid, sig)

    def kill(self) -> None:
        self.process.kill()


def forked(environment: Mapping[str, str], log: Path) -> Forked:
    """Start the operator with these environment variables; all that it prints is appended to `log`."""
    process = _context.Process(target=_run, args=(dict(environment), str(log)), name="operator", daemon=True)
    process.start()
    return Forked(process)


def _run(environment: Mapping[str, str], log: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    kube_config.KUBE_CONFIG_DEFAULT_LOCATION = environment["KUBECONFIG"]  # it was read when that was imported
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    main.main()
