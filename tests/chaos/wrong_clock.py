"""Runs the operator with a clock on the wall that is wrong by as many seconds as a file says at the moment.

`python -m tests.chaos.wrong_clock FILE`. Its steady clocks are right, as they are on a machine whose time is set
wrong or set anew. Nothing has to be installed for that, unlike with libfaketime.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.operator_process import Process

_datetime, _time = datetime.datetime, time.time


def spawned(wrong_by: Path) -> Callable[[Mapping[str, str], Path], Process]:
    """Return what starts an operator whose clock is wrong by what `wrong_by` holds, a number of seconds."""

    def spawn(environment: Mapping[str, str], log: Path) -> Process:
        command = [sys.executable, "-m", "tests.chaos.wrong_clock", str(wrong_by)]
        with log.open("ab") as output:
            return subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    return spawn


def _set_wrong(wrong_by: Path) -> None:
    def error() -> float:
        return float(wrong_by.read_text())

    class AlsoReal(type):
        """What the interpreter itself makes, such as the result of a subtraction, is of the real class."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _datetime)

    class Wrong(_datetime, metaclass=AlsoReal):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> _datetime:  # type: ignore[override]
            return _datetime.now(tz) + datetime.timedelta(seconds=error())

    for module in [*sys.modules.values()]:
        if getattr(module, "datetime", None) is _datetime and module is not sys.modules[__name__]:
            module.datetime = Wrong  # type: ignore[attr-defined]
    time.time = lambda: _time() + error()


if __name__ == "__main__":
    # First what builds models of classes, which must find the real one.
    from biospark_operator.runtime.main import main

    _set_wrong(Path(sys.argv.pop(1)))
    main()
