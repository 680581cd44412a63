"""A rotation comes to its end from wherever it is stopped, whatever store the credentials are in.

The server is a table of roles and passwords; what is planned, written and read again is the operator's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count

import pytest

from biospark_operator.components.database import credentials
from biospark_operator.components.database.actions import Run, SetPassword, Write
from biospark_operator.components.database.credentials import APP_SECRET, Credentials
from biospark_operator.components.database.plan import plan
from biospark_operator.components.database.state import Seen
from biospark_operator.components.handover import DATABASE_LOGIN, Uptake
from biospark_operator.components.secrets.store import CredentialStore, KubernetesSecrets
from biospark_operator.engine.component import Action
from biospark_operator.engine.errors import UnavailableError
from tests.fakes.credentials import MemoryStore
from tests.integration.database.operated import SecretsCluster
from tests.unit.components.test_database import NAMES, NOW, env, everything

ENV = env(profile="Production")
ACCOUNT, READER = credentials.accounts(NAMES)
KINDS = {"secrets": lambda: KubernetesSecrets(SecretsCluster(), "database"), "memory": MemoryStore}


class Killed(Exception):  # noqa: N818 - what happens to a process
    """The process is gone."""


@dataclass
class Rotation:
    """An environment whose password is due, and passes over it that may end anywhere."""

    store: CredentialStore
    #: The passwords that the server accepts, by login.
    accepted: dict[str, str] = field(default_factory=dict)
    steps: Iterator[int] = field(default_factory=count)
    killed_at: int | None = None
    now: timedelta = timedelta()

    def step(self) -> None:
        """Die here if it is time to."""
        if next(self.steps) == self.killed_at:
            raise Killed

    async def seen(self) -> Seen:
        """Look, as `observe` does."""
        slots = {account.secret: await self.store.read(ENV, account.secret) for account in (ACCOUNT, READER)}
        held = credentials.stored(ACCOUNT, slots[APP_SECRET])
        full = everything()
        first = full.roles[NAMES.logins[0]]
        roles = {name: role for name, role in full.roles.items() if name not in NAMES.logins}
        roles |= {name: replace(first, name=name) for name in self.accepted if name in NAMES.logins}
        members = [m for m in full.memberships if m.member not in NAMES.logins]
        own = next(m for m in full.memberships if m.member == NAMES.logins[0])
        members += [replace(own, member=name) for name in self.accepted if name in NAMES.logins]
        return replace(
            full,
            now=NOW + self.now,
            roles=roles,
            memberships=tuple(members),
            slots=slots,
            login_works=None if held is None else self.accepted.get(held.user) == held.password,
            uptake=Uptake(True, DATABASE_LOGIN.given(slots[APP_SECRET])),
        )

    async def run(self) -> list[Action]:
        """Make one pass."""
        seen = await self.seen()
        actions = plan(ENV, seen)
        for action in actions:
            self.step()
            match action.payload:
                case SetPassword(slot, login):
                    password = credentials.new_password()
                    self.accepted[login] = password
                    self.step()
                    server = ENV.spec.database.server
                    assert server is not None
                    held = Credentials(login, password, NOW + self.now)
                    await self.store.write(ENV, slot, credentials.handed_over(ENV, server, held, None))
                case Write(slot, wanted):
                    await self.store.write(ENV, slot, wanted)
                case Run():
                    assert action.summary.startswith("DROP ROLE")
                    (dropped,) = (login for login in NAMES.logins if login in action.summary)
                    del self.accepted[dropped]
        return list(actions)

    async def settle(self) -> None:
        """Make passes until one does nothing, which has to be soon, and let time go by after each."""
        for _ in range(6):
            done = await self.run()
            self.now += timedelta(minutes=2)
            if not done:
                return
        raise AssertionError([action.summary for action in done])

    async def held(self) -> Credentials:
        """Return what the store has."""
        held = credentials.stored(ACCOUNT, await self.store.read(ENV, APP_SECRET))
        assert held is not None
        return held

    async def due(self) -> Credentials:
        """Settle, and let time go by until the password is due."""
        await self.settle()
        self.now += timedelta(days=31)
        return await self.held()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_rotation_ends_with_one_login_that_works(kind: str) -> None:
    rotation = Rotation(KINDS[kind]())
    before = await rotation.due()
    await rotation.settle()
    after = await rotation.held()
    assert after.user != before.user
    assert {name for name in rotation.accepted if name in NAMES.logins} == {after.user}
    assert rotation.accepted[after.user] == after.password


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killed_at", range(6))
async def test_who_reads_the_store_can_log_in_wherever_a_rotation_is_killed(kind: str, killed_at: int) -> None:
    rotation = Rotation(KINDS[kind]())
    before = await rotation.due()
    rotation.steps, rotation.killed_at = count(), killed_at
    try:
        await rotation.settle()
    except Killed:
        held = await rotation.held()
        assert rotation.accepted[held.user] == held.password
    rotation.killed_at = None
    await rotation.settle()
    after = await rotation.held()
    assert after.password != before.password
    assert {name for name in rotation.accepted if name in NAMES.logins} == {after.user}
    assert rotation.accepted[after.user] == after.password


@pytest.mark.parametrize("written", [True, False])
async def test_a_write_of_which_nobody_knows_whether_it_took_effect_is_looked_at_again(written: bool) -> None:
    store = MemoryStore()
    rotation = Rotation(store)
    await rotation.due()
    store.answers = lambda: (written, False)
    with pytest.raises(UnavailableError):
        await rotation.run()
    held = await rotation.held()
    assert rotation.accepted[held.user] == held.password
    store.answers = lambda: (True, True)
    await rotation.settle()
    after = await rotation.held()
    assert {name for name in rotation.accepted if name in NAMES.logins} == {after.user}
    assert rotation.accepted[after.user] == after.password


@pytest.mark.parametrize("kind", KINDS)
async def test_what_somebody_changed_in_the_store_is_put_right(kind: str) -> None:
    rotation = Rotation(KINDS[kind]())
    await rotation.settle()
    seen = await rotation.store.read(ENV, APP_SECRET)
    assert seen.held is not None
    moved = replace(seen.held, values={**seen.held.values, "host": b"elsewhere.example"})
    await rotation.store.write(ENV, seen, moved)
    (repair,) = await rotation.run()
    assert isinstance(repair.payload, Write)
    assert (await rotation.store.read(ENV, APP_SECRET)).held == seen.held
    assert not repair.routine
