"""Talks to Vault servers: one login for all who ask, a few requests at once. Used by `kv`, `policies` and `roles`.

`Vaults` has one `Vault` per address and login. Requests run in threads, at most `LIMIT` at once, whatever the number of
environments on it; a server that is silent holds up nobody for long. A token is renewed when somebody needs it and its
time has come, so nothing runs in between, and what is not needed ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.bulkhead import Bulkhead
from biospark_operator.clients.fencing import MayAct
from biospark_operator.clients.vault.errors import (
    FAULTS,
    READS,
    STATES,
    Answer,
    ConflictError,
    DeadTokenError,
    Health,
    MissingRightError,
    SilentError,
    UncertainError,
    login_refused,
    refused,
    silent,
    told_by_health,
)
from biospark_operator.clients.vault.login import Lease, Login, expiry
from biospark_operator.clients.vault.transport import Address, Api, Transport
from biospark_operator.engine.errors import AccessError, OutsideError, UnavailableError

logger = logging.getLogger(__name__)
Result = TypeVar("Result")
Call = Callable[[Api], Answer]

#: Requests to one server at once, over all environments.
LIMIT = 4
#: Seconds in which nobody tries to connect to a server that did not answer, or to log in where that was refused.
DOWN, REFUSED = 3.0, 5.0
#: Seconds that a login is old before another one is made for a right that is missing: it may have come since.
RECENT = 60.0
#: Logins in a minute, whatever happens.
LOGINS = 10
#: Pauses between tries where a standby is behind, and where one may not have heard of a role yet.
_BEHIND, _UNHEARD = (0.05, 0.1, 0.2, 0.4), (0.3, 0.6, 1.2)
#: Methods for which it is an answer that nothing is there.
_FIND_NOTHING = READS | {"DELETE"}
#: Pauses before looks at what became of a write.
_LOOKS = (0.1, 0.4, 1.0)


class Vault:
    """One server as one role sees it. Made by `Vaults.at`."""

    def __init__(
        self, address: Address, login: Login, limit: int = LIMIT, may_act: MayAct = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.address, self.login = address, login
        self._clock = clock
        self._transport = Transport(address, limit, may_act)
        self._threads = ThreadPoolExecutor(limit, thread_name_prefix="vault")
        self._limit = limit
        self._turns = Bulkhead(limit, self._busy)
        self._lease: Lease | None = None
        self._logging_in = asyncio.Lock()
        self._logins: list[float] = []
        self._down: tuple[float, Exception] | None = None
        self._refused: tuple[float, OutsideError] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, purpose: str, call: Call, *, write: bool = False) -> Answer:
        """Return the answer to a request: a good one, or one that says that nothing is there.

        `purpose` says what for, in messages: "read the policy x". With a dead token, and where a right is missing that
        an older token may not know of, it logs in again, once.
        """
        lease = await self._leased()
        answer = await self._with(lease, purpose, call, write)
        if _usable(answer):
            return answer
        problem = refused(answer, purpose, str(self.address))
        if self._worth_a_login(problem, lease):
            lease = await self._leased(instead_of=lease)
            answer = await self._with(lease, purpose, call, write)
            if _usable(answer):
                return answer
            problem = refused(answer, purpose, str(self.address))
        raise await self._explained(problem)

    async def write(self, purpose: str, call: Call, there: Callable[[], Awaitable[bool]]) -> Answer | None:
        """Make a write that may be repeated, as one with check-and-set; `there` looks whether its result is there.

        A write of which nobody knows what became of it is looked at before it is repeated. Returns None where the
        result was found by looking.
        """
        try:
            return await self.ask(purpose, call, write=True)
        except UncertainError:
            for pause in _LOOKS:  # a standby may answer from the past, and an index of that write is not known
                await asyncio.sleep(pause)
                if await there():
                    return None
        try:
            return await self.ask(purpose, call, write=True)
        except (ConflictError, UncertainError):
            if await there():
                return None
            raise

    async def health(self) -> Health | None:
        """Return what the server says of itself, None if it says nothing. It says nothing of requests: see its logs."""
        sent = time.time()
        try:
            answer = await self._threaded(self._transport.health)
        except (*FAULTS, UnavailableError):
            return None
        if "initialized" not in answer.body:
            return None
        told = answer.body.get("server_time_utc")
        # The server tells whole seconds, and the answer took its time.
        skew = 0.0 if not isinstance(told, int | float) else float(told) + 0.5 - (sent + time.time()) / 2
        initialized, sealed, standby = (answer.body.get(key) is True for key in ("initialized", "sealed", "standby"))
        return Health(initialized, sealed, standby, str(answer.body.get("version", "")), skew)

    @property
    def forgotten(self) -> bool:
        """Whether nobody has asked for it for long, and nobody uses it."""
        return self._turns.forgotten

    async def close(self) -> None:
        """Give the token back and close every connection."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.retired = True
            await self._revoked(lease)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.drop()

    def drop(self) -> None:
        """Close connections and threads; the token ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._transport.drop()

    async def _with(self, lease: Lease, purpose: str, call: Call, write: bool) -> Answer:
        lease.users += 1
        try:
            return await self._answer(purpose, lambda: call(self._transport.api(lease.token)), write=write)
        finally:
            lease.users -= 1
            if lease.retired and not lease.users:
                self._give_back(lease)

    async def _answer(self, purpose: str, send: Callable[[], Answer], *, write: bool) -> Answer:
        if self._down is not None and self._clock() < self._down[0]:
            raise silent(self._down[1], purpose, str(self.address), write=False)
        try:
            answer = await self._threaded(lambda: _caught_up(send))
        except FAULTS as error:
            problem = silent(error, purpose, str(self.address), write=write)
            if isinstance(problem, SilentError):
                self._down = (self._clock() + DOWN, error)
            raise problem from None
        self._down = None
        return answer

    async def _explained(self, problem: OutsideError) -> OutsideError:
        """Let the server say it more exactly where its answer may mean several things."""
        if problem.reason not in STATES:
            return problem
        return told_by_health(problem, await self.health(), str(self.address))

    def _worth_a_login(self, problem: OutsideError, lease: Lease) -> bool:
        if isinstance(problem, DeadTokenError):
            return True
        return isinstance(problem, MissingRightError) and self._clock() - lease.made > RECENT

    async def _leased(self, instead_of: Lease | None = None) -> Lease:
        """Return a token that is good, another one than `instead_of`."""
        if (found := self._current(instead_of)) is not None and self._clock() < found.due:
            return found
        async with self._logging_in:
            found = self._current(instead_of)
            if found is not None and (self._clock() < found.due or await self._renewed(found)):
                return found
            try:
                made = await self._logged_in()
            except OutsideError:
                if found is None or not found.good(self._clock()):
                    raise
                # It is good for a while yet, and whoever asks meanwhile shall not wait for another try.
                found.due = min(found.until, self._clock() + REFUSED)
                return found
            before, self._lease = self._lease, made
            if before is not None:
                before.retired = True
                if not before.users:
                    self._give_back(before)
            return made

    def _current(self, instead_of: Lease | None) -> Lease | None:
        lease = self._lease
        return lease if lease is not None and lease is not instead_of and lease.good(self._clock()) else None

    async def _renewed(self, lease: Lease) -> bool:
        """Renew a token without naming a time, which could only shorten it; False calls for a new login."""
        if not lease.renewable:
            return False
        api, begun = self._transport.harmless(lease.token), self._clock()
        with contextlib.suppress(OutsideError):
            answer = await self._answer("renew the operator's token", api.auth.token.renew_self, write=False)
            return answer.good and lease.renewed(answer.body.get("auth") or {}, begun)
        return False

    async def _logged_in(self) -> Lease:
        now = self._clock()
        if self._refused is not None and now < self._refused[0]:
            raise _again(self._refused[1])
        self._logins = [moment for moment in self._logins if now - moment < 60]
        if len(self._logins) >= LOGINS:
            raise UnavailableError(
                f"could not log in to {self.address} with {self.login}: tokens that it gives are not good for long; "
                "see the role's TTLs; retrying",
                reason=Reason.VAULT_LOGIN_REFUSED,
            )
        self._logins.append(now)
        try:
            made = await self._login()
        except OutsideError as problem:
            self._refused = (self._clock() + REFUSED, problem)
            raise
        self._refused = None
        return made

    async def _login(self) -> Lease:
        token = await self._own_token()
        end = expiry(token)
        if expired := end is not None and end < time.time():
            logger.warning("the token in %s is expired: the kubelet does not replace it", self.login.token_file)
        where, api = self.login, self._transport.harmless()

        def send() -> Answer:
            answer: Answer = api.auth.kubernetes.login(where.role, token, use_token=False, mount_point=where.mount)
            return answer

        for pause in (*_UNHEARD, None):
            begun = self._clock()
            answer = await self._answer(f"log in with {where}", send, write=False)
            if answer.good and answer.body.get("auth"):
                return Lease.of(answer.body["auth"], begun)
            if pause is None or not (answer.status == 400 and "invalid role name" in answer.text):
                break
            await asyncio.sleep(pause)
        health = await self.health() if answer.status in (400, 403) else None
        problem = login_refused(answer, str(where), str(self.address), health, expired)
        raise await self._explained(problem)

    async def _own_token(self) -> str:
        try:
            return (await asyncio.to_thread(self.login.token_file.read_text, "utf-8")).strip()
        except (OSError, UnicodeDecodeError):
            raise AccessError(
                f"could not log in to {self.address}: the token of the operator's ServiceAccount can't be read at "
                f"{self.login.token_file}; see the projected volume of its pod",
                reason=Reason.VAULT_LOGIN_REFUSED,
            ) from None

    def _give_back(self, lease: Lease) -> None:
        task = asyncio.get_running_loop().create_task(self._revoked(lease))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _revoked(self, lease: Lease) -> None:
        if lease.revocable and lease.good(self._clock()):
            api = self._transport.harmless(lease.token)
            with contextlib.suppress(OutsideError):
                await self._answer("revoke the operator's token", api.auth.token.revoke_self, write=False)

    async def _threaded(self, work: Callable[[], Result]) -> Result:
        """Run `work` in a thread when it is its turn. Its turn ends when it does, also if nobody waits for it."""
        await self._turns.take()
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._turned)
        return await asyncio.shield(future)

    def _turned(self, future: asyncio.Future[Result]) -> None:
        self._turns.answered()
        self._turns.give_back()
        if not future.cancelled():
            future.exception()  # whoever waited may be gone

    def _busy(self) -> UnavailableError:
        return UnavailableError(
            f"could not use {self.address}: all {self._limit} requests that the operator allows itself at once wait "
            "for it; retrying",
            reason=Reason.VAULT_UNREACHABLE,
        )


class Vaults:
    """All servers of this process."""

    def __init__(self, limit: int = LIMIT, may_act: MayAct = lambda: None) -> None:
        self._limit, self._may_act = limit, may_act
        self._vaults: dict[tuple[Address, Login], Vault] = {}

    def at(self, address: Address, login: Login) -> Vault:
        """Return the server at an address. It costs nothing until it is asked for something."""
        if (found := self._vaults.get((address, login))) is None:
            for key in [key for key, vault in self._vaults.items() if vault.forgotten]:
                self._vaults.pop(key).drop()
            found = self._vaults[address, login] = Vault(address, login, self._limit, self._may_act)
        return found

    async def close(self) -> None:
        """Give every token back and close every connection."""
        vaults, self._vaults = self._vaults, {}
        for vault in vaults.values():
            await vault.close()


def _usable(answer: Answer) -> bool:
    """Whether an answer says what is there: nothing, or a version that was deleted, which is a 404 with a body."""
    there = answer.nothing or (answer.status == 404 and bool(answer.data))
    return answer.good or (there and answer.method in _FIND_NOTHING)


def _caught_up(send: Callable[[], Answer]) -> Answer:
    for pause in _BEHIND:
        answer = send()
        if not answer.behind:
            return answer
        time.sleep(pause)
    return send()


def _again(problem: OutsideError) -> OutsideError:
    return type(problem)(problem.message, reason=problem.reason, retry_after=problem.retry_after)
