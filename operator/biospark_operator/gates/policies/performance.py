"""Is it fast enough: throughput, queries, startup, memory, processor time."""

from __future__ import annotations

from collections.abc import Sequence

from biospark_operator.gates.evidence import (
    ContainerUse,
    CpuUse,
    MemoryUse,
    QueryTimes,
    Startup,
    Throughput,
    ThroughputSource,
)
from biospark_operator.gates.gate import (
    Evidence,
    GateReason,
    Verdict,
    coarse,
    counted,
    incomplete,
    listed,
    percentile_95,
)

MINIMUM_QUERIES = 20
#: A single sample of memory or processor time says nothing about what was between two.
MINIMUM_USES = 3
_NOUNS = {"cpu": "CPU", "memory": "memory"}


def gateway_throughput(evidence: Throughput, limit: int) -> Verdict:
    """Pass if the gateway carried `limit` requests a minute without an error, and is configured to."""
    rate, configured = coarse(evidence.per_minute, limit), evidence.configured_per_minute
    observed = f"{rate} requests/min, {counted(evidence.errors, 'error')}, n={evidence.requests}"
    if configured is not None and configured < limit:
        return Verdict(
            GateReason.RATE_LIMIT_TOO_LOW,
            f"The gateway lets {configured} requests a minute through; at least {limit} are wanted. Raise "
            "spec.gateway.rateLimit.requestsPerMinute.",
            observed,
            evidence.per_minute,
        )
    if evidence.errors:
        return Verdict(
            GateReason.REQUESTS_FAILED,
            f"{evidence.errors} of {counted(evidence.requests, 'request')} failed at {rate} a minute, according to "
            f"{evidence.source}. Look at the logs of the gateway and of the API.",
            observed,
            evidence.per_minute,
        )
    if configured is None:
        return incomplete(evidence, ["the rate limit that the gateway is configured with"])
    if evidence.seconds < evidence.wanted_seconds:
        return incomplete(
            evidence, [f"the last {counted(round(evidence.wanted_seconds - evidence.seconds), 'second')} of the rate"]
        )
    if evidence.per_minute >= limit:
        message = f"The gateway carried {rate} requests a minute without an error, according to {evidence.source}."
        return Verdict(GateReason.PASSED, message, observed, evidence.per_minute)
    if evidence.source is ThroughputSource.METRICS:
        # Users who ask for little prove nothing about how much would be carried.
        return Verdict(
            GateReason.TOO_FEW_SAMPLES,
            f"Users sent at most {rate} requests a minute, too few to show that {limit} would be carried. Set "
            "spec.qualityGates.loadProbe.enabled to true, or waive the gate.",
            observed,
            evidence.per_minute,
        )
    return Verdict(
        GateReason.THROUGHPUT_TOO_LOW,
        f"The gateway carried {rate} requests a minute; at least {limit} are wanted. Look for slow answers and busy "
        "pods, or lower spec.qualityGates.thresholds.gatewayRequestsPerMinute.",
        observed,
        evidence.per_minute,
    )


def database_latency(evidence: QueryTimes, limit: int) -> Verdict:
    """Pass if the 95th percentile of each representative query is within the threshold."""
    if evidence.failures:
        return Verdict(
            GateReason.REQUESTS_FAILED,
            f"{counted(evidence.failures, 'query', 'queries')} failed, so the times prove nothing. Look at the log of "
            "the database.",
            f"{evidence.failures} failed, n={evidence.sample_size}",
        )
    if evidence.sample_size < MINIMUM_QUERIES:
        return _too_few(evidence, MINIMUM_QUERIES)
    value, name = max((percentile_95(times), name) for name, times in evidence.queries.items())
    observed = f"p95 {coarse(value, limit)} ms, n={evidence.sample_size}"
    if value <= limit:
        return Verdict(
            GateReason.PASSED,
            f"The slowest query, {name}, took at most {coarse(value, limit)} ms 95 % of the time.",
            observed,
            value,
        )
    return Verdict(
        GateReason.TOO_SLOW,
        f"The 95th percentile of the query {name} is {coarse(value, limit)} ms; at most {limit} ms are allowed. Look "
        "for a missing index or a busy server, or raise spec.qualityGates.thresholds.databaseLatencyMilliseconds.",
        observed,
        value,
    )


def startup_time(evidence: Startup, limit: int) -> Verdict:
    """Pass if the slowest pod, and the environment where that was seen, became ready in time."""
    seen = {f"pod {pod.name}": pod.seconds for pod in evidence.pods if pod.seconds is not None}
    if evidence.environment_seconds is not None:
        seen["the environment"] = evidence.environment_seconds
    value, name = max(((seconds, name) for name, seconds in seen.items()), default=(0.0, ""))
    observed = f"{coarse(value, limit)} s, n={evidence.sample_size}"
    if value > limit:
        return Verdict(
            GateReason.TOO_SLOW,
            f"It took {coarse(value, limit)} s until {name} was ready; at most {limit} s are allowed. Look at image "
            "pulls and startup probes, or raise spec.qualityGates.thresholds.startupSeconds.",
            observed,
            value,
        )
    if missing := [f"pod {pod.name}" for pod in evidence.pods if pod.seconds is None]:
        return incomplete(evidence, missing)
    return Verdict(
        GateReason.PASSED,
        f"{counted(evidence.sample_size, 'pod')} of the newest rollout became ready within {coarse(value, limit)} s.",
        observed,
        value,
    )


def memory_within_limits(evidence: MemoryUse, limit: int) -> Verdict:
    """Pass if no container was killed for its memory, and the highest working set is within the threshold."""
    if evidence.killed:
        return Verdict(
            GateReason.OUT_OF_MEMORY,
            f"Killed for lack of memory: {listed(evidence.killed)}. Raise spec.api.resources.limits.memory.",
            f"{counted(len(evidence.killed), 'kill')}, n={evidence.sample_size}",
            _highest(evidence.containers),
        )
    verdict = _use(evidence, evidence.containers, limit, "memory", "memoryPercent")
    if verdict.reason is GateReason.PASSED and evidence.unexplained_restarts:
        return incomplete(evidence, [f"the cause of {counted(evidence.unexplained_restarts, 'restart')}"])
    return verdict


def cpu_utilization(evidence: CpuUse, limit: int) -> Verdict:
    """Pass if the highest use of a container is within the threshold."""
    return _use(evidence, evidence.containers, limit, "cpu", "cpuPercent")


def _use(evidence: Evidence, containers: Sequence[ContainerUse], limit: int, resource: str, field: str) -> Verdict:
    if unlimited := [container.name for container in containers if not container.limit]:
        return Verdict(
            GateReason.NO_LIMIT,
            f"No {_NOUNS[resource]} limit: {listed(unlimited)}. Set spec.api.resources.limits.{resource}.",
            f"no limit, n={evidence.sample_size}",
        )
    value = _highest(containers)
    assert value is not None  # noqa: S101 - there are samples and limits
    name = max(containers, key=lambda container: max(container.samples) / (container.limit or 1)).name
    percent = coarse(value, limit)
    observed = f"{percent} % of the limit, n={evidence.sample_size}"
    if value > limit:
        return Verdict(
            GateReason.USE_TOO_HIGH,
            f"{name} uses {percent} % of its {_NOUNS[resource]} limit; at most {limit} % are allowed. Raise "
            f"spec.api.resources.limits.{resource} or the number of replicas, or raise "
            f"spec.qualityGates.thresholds.{field}.",
            observed,
            value,
        )
    if evidence.sample_size < MINIMUM_USES:
        return _too_few(evidence, MINIMUM_USES)
    message = (
        f"The highest use of {counted(len(containers), 'container')} is {percent} % of its {_NOUNS[resource]} limit."
    )
    return Verdict(GateReason.PASSED, message, observed, value)


def _highest(containers: Sequence[ContainerUse]) -> float | None:
    return max((100 * max(c.samples) / c.limit for c in containers if c.limit and c.samples), default=None)


def _too_few(evidence: Evidence, minimum: int) -> Verdict:
    return Verdict(
        GateReason.TOO_FEW_SAMPLES,
        f"{counted(evidence.sample_size, 'sample')} measured, at least {minimum} are needed. The gate is measured "
        "again in the next round.",
        f"n={evidence.sample_size}",
    )
