"""`/healthz` and `/readyz`, the endpoints of the kubelet's probes. Mounted by `app`.

Liveness says only that the process answers: a restart cures nothing that readiness is about.
"""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from biospark_api.http.problems import Problem, documented, problem, problem_response
from biospark_api.readiness import CheckResult, Phase, Readiness


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = Field(default="alive", description="Always this: a dead process is silent.")


class Ready(BaseModel):
    """The service takes requests."""

    status: Literal["ready"] = Field(default="ready", description="Always this; otherwise the status is 503.")
    checks: list[CheckResult] = Field(description="What was checked, all of it passed.")


class NotReadyProblem(Problem):
    """The service should get no requests now, and why."""

    checks: list[CheckResult] = Field(description="What was checked; empty during start and shutdown.")


def health_router(readiness: Readiness) -> APIRouter:
    """The two endpoints over one registry."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Tell whether the process answers")
    async def healthz() -> Alive:
        """Liveness. Depends on nothing outside the process."""
        return Alive()

    @router.get(
        "/readyz",
        summary="Tell whether the service takes requests",
        response_model=Ready,
        response_model_exclude_none=True,
        responses={503: documented("The service should get no requests now.", NotReadyProblem)},
    )
    async def readyz() -> Ready | JSONResponse:
        """Readiness. Fails during start, when something the service needs is missing, and before it stops."""
        if readiness.phase is not Phase.SERVING:
            return _refusal(readiness.phase.value, [])
        checks = await readiness.results()
        failing = [check.name for check in checks if not check.ready]
        return _refusal(f"Not ready: {', '.join(failing)}.", checks) if failing else Ready(checks=checks)

    return router


def _refusal(detail: str, checks: list[CheckResult]) -> JSONResponse:
    return problem_response(NotReadyProblem(**dict(problem(503, detail)), checks=checks))
