"""Takes one component of one environment through observe → refuse → plan → apply → judge.

This is the heart of the operator, and the only place where errors of the outside world become outcomes.
Called by `reconcile` for every component in every pass.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.engine.component import Action, AnyComponent, Environment
from biospark_operator.engine.errors import (
    AccessError,
    FieldConflictError,
    NotLeaderError,
    OutsideError,
    RejectedError,
    StillRunningError,
)
from biospark_operator.engine.outcome import Blocked, Failed, Outcome, Planned, Progressing

logger = logging.getLogger(__name__)

#: Seconds between looks at what goes on by itself.
RUNNING_POLL = 5.0
#: Seconds between tries while rights are missing: they come by hand, and a refused call tells nothing new.
ACCESS_RETRY = 60.0


class Leadership(Protocol):
    """Whether this process may still act. Asked before every step that changes something outside."""

    def check(self) -> None:
        """Return if this process is the leader, raise `NotLeaderError` if not."""


@dataclass(frozen=True)
class Report:
    """What came of one component: the outcome, what was done, and in mode Plan what would be."""

    outcome: Outcome
    planned: tuple[Action, ...] = ()
    done: tuple[Action, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


async def _nobody_asks() -> None:
    return


async def converge(
    component: AnyComponent,
    env: Environment,
    *,
    apply: bool,
    leadership: Leadership,
    due: Callable[[Action], bool] = lambda _: True,
    reached: Callable[[], Awaitable[None]] = _nobody_asks,
) -> Report:
    """Make `component` equal to the specification of `env`, or with `apply` False say what that would take.

    An action that is not `due` is left for a later pass. `reached` is awaited once the component could be observed,
    before anything is done. Never raises but for `NotLeaderError`: a component that
    fails must not hide the others.
    """
    done: list[Action] = []
    try:
        seen = await component.observe(env)
        if apply:
            await reached()
        actions = tuple(component.plan(env, seen)) if component.refuse(env, seen) is None else ()
        if actions and apply:
            for action in _due(actions, due):
                leadership.check()
                await component.apply(env, action)
                done.append(action)
            if done:
                seen = await component.observe(env)
        elif actions:
            return Report(pending(len(actions)), planned=actions, facts=component.facts(env, seen))
        outcome = component.refuse(env, seen) or component.judge(env, seen)
        return Report(outcome, done=tuple(done), facts=component.facts(env, seen))
    except NotLeaderError:
        raise
    except StillRunningError as running:
        wait = running.retry_after or RUNNING_POLL
        return Report(Progressing(running.reason or Reason.PROGRESSING, running.message, wait), done=tuple(done))
    except OutsideError as error:
        return Report(outcome_of(error), done=tuple(done))
    except Exception:
        logger.exception("the component %s of environment %s failed unexpectedly", component.name, env.name)
        return Report(_defect(component), done=tuple(done))


def outcome_of(error: OutsideError) -> Blocked | Failed:
    """Say what an error of the outside world means for the component that met it."""
    match error:
        case AccessError():
            return Failed(error.reason or Reason.ACCESS_DENIED, error.message, ACCESS_RETRY)
        case FieldConflictError():
            return Blocked(error.reason or Reason.FIELD_CONFLICT, error.message)
        case RejectedError():
            return Blocked(error.reason or Reason.INVALID, error.message)
        case _:
            return Failed(error.reason or Reason.SERVER_UNAVAILABLE, error.message, error.retry_after)


def _due(actions: Iterable[Action], due: Callable[[Action], bool]) -> Iterator[Action]:
    """Leave out what is not due, and with something that is not made yet all that may belong into it."""
    for action in actions:
        if due(action):
            yield action
        elif action.verb is Verb.CREATE:
            return


def pending(actions: int) -> Planned:
    """Say that mode Plan keeps so many actions from being carried out."""
    noun = "action is" if actions == 1 else "actions are"
    return Planned(
        Reason.PLAN_ONLY,
        f"{actions} {noun} pending; see status.plan, and set spec.mode to Apply to carry them out",
    )


def _defect(component: AnyComponent) -> Failed:
    return Failed(
        Reason.INTERNAL_ERROR,
        f"the operator met a defect in its component {component.name}; it keeps trying, see its log",
    )
