"""Passwords are checked beside the event loop, with low priority, and not without bound."""

import asyncio
import os
import threading

import pytest

from biospark_api.http.problems import ProblemError
from biospark_api.security.passwords import Passwords


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(queue=3)


async def test_right_password_is_told_from_a_wrong_one(passwords: Passwords) -> None:
    stored = await passwords.hash("seven-Blue-lanterns")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify(stored, "seven-Blue-lanterns")
    assert not await passwords.verify(stored, "seven-blue-lanterns")
    assert not passwords.outdated(stored)


@pytest.mark.parametrize("stored", [None, "", "plain", "$argon2id$broken"])
async def test_nothing_matches_what_is_no_hash(passwords: Passwords, stored: str | None) -> None:
    assert not await passwords.verify(stored, "seven-Blue-lanterns")


async def test_event_loop_goes_on_while_passwords_are_checked(passwords: Passwords) -> None:
    checks = asyncio.gather(*(passwords.verify(None, "x") for _ in range(3)))
    turns = 0
    while not checks.done():
        await asyncio.sleep(0)
        turns += 1
    # In the event loop it would be a handful.
    assert turns > 100


async def test_checks_beyond_the_queue_are_refused_and_the_next_are_not(passwords: Passwords) -> None:
    results = await asyncio.gather(*(passwords.verify(None, "x") for _ in range(5)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, ProblemError)]
    assert [(error.status_code, error.headers) for error in refused] == [(503, {"Retry-After": "1"})] * 2
    assert passwords.waiting == 0
    assert await passwords.verify(None, "x") is False


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="threads have a priority of their own on Linux only")
async def test_thread_of_the_checks_has_low_priority_and_the_process_has_not(passwords: Passwords) -> None:
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    nice = await passwords._run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert nice == max(10, before)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
