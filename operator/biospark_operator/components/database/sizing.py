"""Whether the connections of a database are enough for the API. Pure; read by `judge`, and by the API's settings."""

from __future__ import annotations

from itertools import count

from biospark_operator.components.database import wanted
from biospark_operator.engine.component import Environment

#: Replicas beside those that are wanted while one is replaced: the new one, and the old one until it has ended.
REPLACING = 2


def too_few_connections(env: Environment) -> str | None:
    """Say that the limit of the database leaves a replica without any connection, or None where it does not.

    A rollout would never end: the new replica would wait for a connection that the old one keeps.
    """
    limit, replicas = env.spec.database.connection_limit, replicas_at_once(env)
    if env.spec.database.server is None or limit is None or wanted.shares(limit).login >= replicas:
        return None
    enough = next(number for number in count(limit) if wanted.shares(number).login >= replicas)
    return (
        f"spec.database.connectionLimit {limit} is too low for {_most(env)} replicas of the API and "
        f"{REPLACING} more while they are replaced; write at least {enough}, or lower the number of replicas"
    )


def replicas_at_once(env: Environment) -> int:
    """Return how many replicas there are at most while one is replaced."""
    return _most(env) + REPLACING


def _most(env: Environment) -> int:
    return env.spec.api.autoscaling.max_replicas if env.spec.api.autoscaling else env.spec.api.replicas
