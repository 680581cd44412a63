"""What the operations work with, made once per application; there is no other state in the process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from biospark_api.audit.log import AuditLog
from biospark_api.auth.bootstrap import ensure_administrator
from biospark_api.cleanup import run_cleanup
from biospark_api.database.pool import Pool, create_pool
from biospark_api.security.keys import KeyRing, parse_signing_key, parse_verify_keys
from biospark_api.security.passwords import Passwords
from biospark_api.security.throttle import Limits
from biospark_api.security.tokens import Tokens
from biospark_api.settings import Settings
from biospark_api.shares import Shares
from biospark_api.sources import Credentials, Secrets, TokenKeys, watch

log = logging.getLogger(__name__)

# Together less than what a pod has left after drain and shutdown time.
_AUDIT_SECONDS = 3.0
_POOL_SECONDS = 1.0


@dataclass(frozen=True)
class Services:
    """The parts of a running service."""

    settings: Settings
    pool: Pool
    tokens: Tokens
    passwords: Passwords
    audit: AuditLog
    limits: Limits
    answers: Shares


@asynccontextmanager
async def running(settings: Settings, secrets: Secrets) -> AsyncIterator[Services]:
    """Services with their background tasks. The database may be away: readiness tells.

    Raises `KeyFormatError` and `SourceError` when there is no usable signing key. At the end the audit log is
    written before the pool closes.
    """
    tokens = await _tokens(settings, secrets)
    pool = create_pool(settings, secrets)
    await pool.open(wait=False)
    audit = AuditLog(pool)
    services = Services(
        settings,
        pool,
        tokens,
        Passwords(settings.password_queue),
        audit,
        Limits(
            settings.login_failures_per_account,
            settings.login_failures_per_address,
            settings.login_failures_elsewhere,
            settings.login_window_seconds,
        ),
        Shares(settings.max_answers_bytes // 2, settings.max_answers_bytes),
    )
    tasks = [asyncio.create_task(work) for work in _background(services, secrets)]
    try:
        yield services
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await audit.close(_AUDIT_SECONDS)
        services.passwords.close()
        await pool.close(_POOL_SECONDS)


def _background(services: Services, secrets: Secrets) -> list[Coroutine[Any, Any, None]]:
    settings, pool = services.settings, services.pool

    async def new_keys(keys: TokenKeys) -> None:
        services.tokens.ring.replace(parse_signing_key(keys.signing), parse_verify_keys(keys.others))
        log.info("Tokens are signed with another key", extra={"kid": services.tokens.ring.signing.kid})

    async def new_credentials(_credentials: Credentials) -> None:
        await pool.drain()
        log.info("Connections are made with other credentials")

    every = settings.secrets_poll_seconds
    return [
        services.audit.run(),
        run_cleanup(pool, settings.erase_deleted_days),
        watch(secrets.token_keys, every, new_keys),
        watch(secrets.database, every, new_credentials),
        ensure_administrator(settings, pool, services.passwords),
    ]


async def _tokens(settings: Settings, secrets: Secrets) -> Tokens:
    keys = await secrets.token_keys.read()
    return Tokens(
        KeyRing(parse_signing_key(keys.signing), parse_verify_keys(keys.others), settings.token_lifetime_seconds),
        issuer=settings.token_issuer or f"biospark/{settings.environment}",
        audience=settings.token_audience,
        lifetime=settings.token_lifetime_seconds,
        believed=settings.revocation_seconds,
    )
