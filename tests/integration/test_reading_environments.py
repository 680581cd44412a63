"""Whom an environment names may read it and its Events, and no other; the documented commands show them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import Operated

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
ANNA = "anna@example.com"
BOUND = {"bindings": [{"role": "Viewer", "subjects": [{"kind": "User", "name": ANNA}]}]}


def may(env: Operated, verb: str, name: str) -> bool:
    answer = env.kubectl("auth", "can-i", verb, f"bse/{name}" if name else "bse", "--as", ANNA, check=False)
    return answer.strip() == "yes"


async def test_who_has_a_role_reads_the_environment_and_no_other(operate: Callable[[], Operated]) -> None:
    mine, other = operate(), operate()
    mine.apply(access=BOUND)
    other.apply()
    await mine.settle()
    await other.settle()
    got = mine.kubectl("get", "bse", mine.name, "-o", "name", "--as", ANNA)
    assert got.strip() == f"biosparkenvironment.biospark.ai/{mine.name}"
    assert mine.kubectl("wait", "--for=condition=AccessReady", f"bse/{mine.name}", "--timeout=20s", "--as", ANNA)
    assert not may(mine, "list", "")
    assert not any(may(mine, verb, mine.name) for verb in ("patch", "update", "delete"))
    assert not any(may(mine, verb, other.name) for verb in ("get", "watch"))


async def test_the_right_is_put_back_and_goes_with_the_bindings(env: Operated) -> None:
    env.apply(access=BOUND)
    await env.settle()
    role = f"clusterrole/biospark-environment-{env.name}"
    verbs = [{"op": "add", "path": "/rules/0/verbs/-", "value": "delete"}]
    env.kubectl("patch", role, "--type=json", "-p", json.dumps(verbs))
    await env.settle()
    assert not may(env, "delete", env.name)
    assert any("biospark-environment-" in entry["id"] for entry in (await env.status())["inventory"])

    env.apply()
    await env.settle()

    assert not may(env, "get", env.name)
    left = env.kubectl("get", "clusterroles,clusterrolebindings", "-l", f"biospark.ai/environment={env.name}")
    assert left == ""


async def test_the_documented_commands_show_the_events_from_any_namespace(env: Operated) -> None:
    env.apply(access=BOUND)
    await env.settle()
    # What is in `default` is for those who may read it; the other command is run as somebody with a role.
    readers = {"default": [], env.namespace: ["--as", ANNA]}
    commands = set()
    for page in ("README.md", "docs/concepts.md", "docs/install.md", "docs/troubleshooting.md"):
        text = (ROOT / page).read_text()
        commands |= set(re.findall(r"kubectl (get events .*--field-selector \S*involvedObject\S+)", text))
    assert len(commands) >= 4
    for command in commands:
        words = command.replace("development", env.name).replace(",type=Warning", "").split()
        namespace = words[words.index("-n") + 1]
        assert f"biosparkenvironment/{env.name}" in env.kubectl(*words, *readers[namespace]), command


async def test_without_readers_nothing_is_written_twice(env: Operated) -> None:
    env.apply()
    await env.settle()
    selector = "--field-selector=involvedObject.kind=BioSparkEnvironment"
    assert env.kubectl("get", "events", "-n", env.namespace, selector) == ""
