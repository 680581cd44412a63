"""Whether the service should get requests: its phase of life and a registry of named checks.

`app` creates one registry per application; parts that depend on something outside (a database) add a check to
it, `health` serves the report, `server` moves it to draining on a stop signal.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum

from pydantic import BaseModel, Field

log = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
"""Time limit of one check; below the probe's own, so that the report names the slow check."""

Check = Callable[[], Awaitable[str | None]]
"""Returns a remark or None when all is well; raises `NotReadyError` with the reason, or anything else."""


class NotReadyError(Exception):
    """Why a check fails, in words that may be shown to anyone: no addresses, no credentials."""


class Phase(Enum):
    """Where the process is in its life."""

    STARTING = "The service is starting."
    SERVING = "The service takes requests."
    DRAINING = "The service is shutting down."


class CheckResult(BaseModel):
    """What one check found."""

    name: str = Field(description="Name of the check.")
    ready: bool = Field(description="Whether it passed.")
    detail: str | None = Field(default=None, description="Why it did not pass, or a remark.")


class Readiness:
    """The phase of the process and what must be well outside of it."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Make readiness depend on `check`; a name can be taken once."""
        if name in self._checks:
            raise ValueError(f"there is a readiness check {name!r} already; choose another name")
        self._checks[name] = check

    def serve(self) -> None:
        """The start is complete. Does not undo a stop signal that came during the start."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.SERVING

    def drain(self) -> None:
        """The process was asked to stop: from now on and for good not ready."""
        self.phase = Phase.DRAINING

    async def results(self) -> list[CheckResult]:
        """Run all checks at once and report each, in the order in which they were added."""
        return list(await asyncio.gather(*(_run(name, check) for name, check in self._checks.items())))


async def _run(name: str, check: Check) -> CheckResult:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            remark = await check()
    except NotReadyError as error:
        return CheckResult(name=name, ready=False, detail=str(error))
    except TimeoutError:
        return CheckResult(name=name, ready=False, detail=f"No answer within {CHECK_SECONDS:g} s.")
    except Exception:
        log.exception("Readiness check %s failed", name)
        return CheckResult(name=name, ready=False, detail="The check failed; see the service's log.")
    return CheckResult(name=name, ready=True, detail=remark)
