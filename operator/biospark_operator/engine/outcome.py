"""What came of one component in one pass.

Outcomes are values, not exceptions: a component that fails is as normal as one that is ready, and the report
needs all of them. `reason` is a constant from `api.v1alpha1.reasons`; `message` is for people, is stable from
pass to pass, and names the object and the next step.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ready:
    """As specified, and proved so by what was observed.

    `remark` is what a reader of the environment's `Ready` has to know all the same, if anything.
    """

    reason: str
    message: str
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Progressing:
    """On its way without help. Looked at again after `retry_after` seconds, or when a child changes."""

    reason: str
    message: str
    retry_after: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not begun, because a component that it requires is not ready."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Planned:
    """Differs from the specification, and the mode is Plan: nothing was changed."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Blocked:
    """Needs a human. Tried again slowly (a watch usually wakes us first).

    `usable` says that what requires it can go on all the same.
    """

    reason: str
    message: str
    usable: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """Went wrong in a way that may pass. Tried again with backoff, not before `retry_after` seconds if set."""

    reason: str
    message: str
    retry_after: float | None = None


Outcome = Ready | Progressing | Waiting | Planned | Blocked | Failed


def can_be_built_on(outcome: Outcome) -> bool:
    """Whether a component may be touched that requires the one that came to `outcome`."""
    return isinstance(outcome, Ready) or (isinstance(outcome, Blocked) and outcome.usable)
