"""What the health check for Argo CD makes of each state of an environment, in the version of Lua that it is run in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lupa import lua51

from biospark_operator.api.v1alpha1.environment import GROUP, KIND

ROOT = Path(__file__).parents[3]
SCRIPT = (ROOT / "examples" / "argocd" / "health.lua").read_text(encoding="utf-8")
PROMOTION = {"biospark.ai/argocd-health": "Promotion"}


def health(environment: dict[str, Any]) -> tuple[str, str]:
    """Return status and message."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)  # type: ignore[call-arg]
    lua.globals().obj = table(lua, environment)
    answer = lua.execute(SCRIPT)
    return answer["status"], answer["message"]


def table(lua: Any, value: Any) -> Any:
    """Return the value with all that is below it as tables: a Python object looks like one, and is none."""
    match value:
        case dict():
            return lua.table_from({key: table(lua, item) for key, item in value.items()})
        case list():
            return lua.table_from([table(lua, item) for item in value])
        case _:
            return value


def condition(
    kind: str, truth: str, reason: str = "Any", message: str = "any", *, of: int | None = 1
) -> dict[str, Any]:
    """Return a condition of a generation."""
    found = {"type": kind, "status": truth, "reason": reason, "message": message}
    return found if of is None else {**found, "observedGeneration": of}


def environment(*conditions: dict[str, Any], observed: int | None = 1, **more: Any) -> dict[str, Any]:
    """Return an environment of generation 1."""
    metadata = {"name": "dev", "generation": more.pop("generation", 1), **more.pop("metadata", {})}
    status = {"conditions": list(conditions)} | ({} if observed is None else {"observedGeneration": observed})
    return {"metadata": metadata, "spec": {"profile": "Development"}, "status": status} | more


READY = condition("Ready", "True", "Succeeded", "ready")
UNKNOWN = condition("Ready", "Unknown", "Progressing", "creating the database")
FALSE = condition("Ready", "False", "DatabaseUnreachable", "db.example does not answer")
RECONCILING = condition("Reconciling", "True", "ProgressingWithRetry", "retry in 30s")
STALLED = condition("Stalled", "True", "InvalidSpec", "write a host")
PENDING = condition("PromotionReady", "False", "GatesPending", "18/20")
PROMOTED = condition("PromotionReady", "True", "GatesPassed", "20/20")
SUSPENDED = {"spec": {"profile": "Development", "suspend": True}}
DELETING = {"generation": 2, "metadata": {"deletionTimestamp": "2030-01-31T12:00:00Z"}}
OBSERVE = "Waiting for the operator to observe generation 1"

STATES: dict[str, tuple[dict[str, Any], str, str]] = {
    "1 no status": (
        {"metadata": {"name": "dev", "generation": 1}, "spec": {"profile": "Development"}},
        "Progressing", "Waiting for the operator: no status yet",
    ),
    "1 a status without generation": (
        environment(READY, observed=None), "Progressing", "Waiting for the operator: no status yet"
    ),
    "2 the default of a new resource": (environment(observed=-1), "Progressing", OBSERVE),
    "3 ready unknown": (environment(UNKNOWN), "Progressing", "Progressing: creating the database"),
    "4 ready unknown, reconciling": (
        environment(UNKNOWN, RECONCILING), "Progressing", "ProgressingWithRetry: retry in 30s"
    ),
    "5 retrying": (environment(FALSE, RECONCILING), "Progressing", "ProgressingWithRetry: retry in 30s"),
    "6 not ready": (environment(FALSE), "Degraded", "DatabaseUnreachable: db.example does not answer"),
    "7 stalled": (environment(FALSE, STALLED), "Degraded", "InvalidSpec: write a host"),
    "8 an old generation": (environment(READY, observed=0), "Progressing", OBSERVE),
    "9 ready": (environment(READY), "Healthy", "Succeeded: ready"),
    "9 ready, of no generation": (
        environment(condition("Ready", "True", "Succeeded", "ready", of=None)), "Healthy", "Succeeded: ready"
    ),
    "10 suspended before it was ready": (
        environment(UNKNOWN, **SUSPENDED), "Suspended", "spec.suspend is true: nothing is done"
    ),
    "11 suspended when it was ready": (
        environment(READY, **SUSPENDED), "Suspended", "spec.suspend is true: nothing is done"
    ),
    "12 deleting, not seen yet": (
        environment(READY, **DELETING), "Progressing", "Waiting for the operator to observe generation 2"
    ),
    "12 deleting": (
        environment(
            condition("Ready", "False", "Deleting", "removing", of=2),
            condition("Reconciling", "True", "Deleting", "removing", of=2),
            observed=2, **DELETING,
        ),
        "Progressing", "Deleting: removing",
    ),
    "13 a condition of an old generation": (
        environment(condition("Ready", "True", of=0)), "Progressing", OBSERVE
    ),
    "14 ready and reconciling": (
        environment(READY, RECONCILING), "Progressing", "ProgressingWithRetry: retry in 30s"
    ),
    "15 promotion waits": (
        environment(READY, PENDING), "Healthy", "Ready; promotion waits: GatesPending: 18/20"
    ),
    "15 promotion waits, and is asked for": (
        environment(READY, PENDING, metadata={"annotations": PROMOTION}),
        "Progressing", "Ready; promotion waits: GatesPending: 18/20",
    ),
    "15 promotion is ready, and is asked for": (
        environment(READY, PROMOTED, metadata={"annotations": PROMOTION}), "Healthy", "Succeeded: ready"
    ),
    "15 promotion was ready at another generation": (
        environment(READY, {**PROMOTED, "observedGeneration": 0}, metadata={"annotations": PROMOTION}),
        "Progressing", "Ready; promotion waits: GatesPassed: 20/20",
    ),
    "15 promotion is asked for, and nobody judges it": (
        environment(READY, metadata={"annotations": PROMOTION}),
        "Progressing", "Ready; promotion waits: PromotionReady is not set yet",
    ),
    "15 promotion is asked for in another word": (
        environment(READY, PENDING, metadata={"annotations": {"biospark.ai/argocd-health": "Ready"}}),
        "Healthy", "Ready; promotion waits: GatesPending: 18/20",
    ),
    "16 reconciling and stalled": (
        environment(FALSE, RECONCILING, STALLED), "Degraded", "InvalidSpec: write a host"
    ),
    "no conditions": (environment(), "Progressing", OBSERVE),
    "conditions that are not true": (
        environment(READY, {**STALLED, "status": "False"}, {**RECONCILING, "status": "False"}),
        "Healthy", "Succeeded: ready",
    ),
}  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_health(state: str) -> None:
    found, status, message = STATES[state]
    assert health(found) == (status, message)


def test_the_documented_setting_is_that_of_the_kind() -> None:
    setting = f"resource.customizations.health.{GROUP}_{KIND}=examples/argocd/health.lua"
    assert setting in (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")


def test_the_script_says_the_words_of_argo_cd() -> None:
    words = {"Healthy", "Progressing", "Degraded", "Suspended"}
    assert {health(found)[0] for found, *_ in STATES.values()} == words
