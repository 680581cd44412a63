"""The operator as it runs: a process that elects itself, watches, answers probes, ends and comes back."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from biospark_operator.clients.kubernetes.client import connected
from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.components.outside import ENVIRONMENTS, SERVERS
from biospark_operator.objects import secret_data
from tests.operator_process import COLLECTED, LEASE, NAMESPACE, Operator, Process, Site, cluster_of_this_worker

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("operator")]


@pytest.fixture(scope="module")
def control_plane() -> Iterator[str]:
    """Path of the kubeconfig of a control plane of its own."""
    with cluster_of_this_worker("operator") as kubeconfig:
        yield kubeconfig


@pytest.fixture(scope="module")
def process(control_plane: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """The operator that the tests share. Nothing that any of them planted may be in its log."""
    shared_one = Operator(control_plane, tmp_path_factory.mktemp("operator") / "log")
    yield shared_one
    if shared_one.alive:
        shared_one.kill()
    log = shared_one.log.read_text()
    assert "planted" not in log
    assert base64.b64encode(b"planted").decode() not in log
    assert "Traceback" not in log, log[-6000:]


@pytest.fixture
def operator(process: Operator) -> Operator:
    """The shared operator, running."""
    return process if process.alive else process.start()


@pytest.fixture
async def site(control_plane: str, operator: Operator) -> AsyncIterator[Site]:
    """An environment of its own for each test, deleted at its end."""
    async with connected(kubeconfig=control_plane) as client:
        made = Site(client, control_plane, operator)
        yield made
        body = await made.body()
        if body:
            made.patch({"spec": {"deletionProtection": False}})
            made.delete()


async def holder(site: Site) -> str | None:
    lease = await site.client.get(LEASE)
    return lease["spec"].get("holderIdentity") if lease else None


async def test_an_environment_gets_its_objects_and_nothing_but_a_finalizer(site: Site, operator: Operator) -> None:
    site.apply()
    await site.settled()
    for condition in ("NamespaceReady", "AccessReady", "NetworkReady"):
        assert await site.told(condition) == ("True", "Succeeded")
    metadata = (await site.body())["metadata"]
    assert metadata["finalizers"] == ["biospark.ai/finalizer"]
    assert "annotations" not in metadata
    assert "kopf" not in (await site.body())["status"]


async def test_an_operator_that_was_down_gives_back_what_a_deletion_orphaned(site: Site, operator: Operator) -> None:
    site.apply()
    await site.settled()
    before = await site.policy()
    operator.kill()
    site.kubectl("delete", "bse", site.name, "--cascade=orphan", "--wait=false")

    async def orphaned() -> bool:
        return "orphan" not in (await site.body())["metadata"]["finalizers"]

    await site.until(orphaned, "the garbage collector has taken its finalizer off", COLLECTED)
    operator.start()

    async def gone() -> bool:
        return await site.body() is None

    await site.until(gone, "the environment is gone", 60)
    after = await site.policy()
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert "biospark.ai/environment" not in after["metadata"].get("labels", {})
    site.kubectl("delete", "namespace", site.namespace, "--wait=false")


async def test_deletion_in_the_foreground_waits_for_the_operator(site: Site) -> None:
    site.apply()
    await site.settled()
    site.apply(suspend=True)
    site.kubectl("delete", "bse", site.name, "--cascade=foreground", "--wait=false")

    async def collected() -> bool:
        metadata = (await site.body())["metadata"]
        return "deletionTimestamp" in metadata and "foregroundDeletion" not in metadata["finalizers"]

    await site.until(collected, "the garbage collector has done its part", COLLECTED)
    assert await site.policy() is not None
    site.apply()

    async def gone() -> bool:
        return await site.body() is None

    await site.until(gone, "the environment is gone", 60)
    assert await site.client.get(ObjectRef("v1", "Namespace", None, site.namespace)) is None


async def test_probes_and_metrics_tell_of_the_work(site: Site, operator: Operator) -> None:
    site.apply()
    await site.settled()
    assert operator.ask("/healthz") == (200, "ok")
    assert operator.ask("/readyz") == (200, "ok")
    assert operator.metric("biospark_operator_leader") == 1
    assert operator.metric('biospark_operator_actions_total{component="network",verb="Create"}') > 0

    def shown(condition: str) -> float | None:
        return operator.metric(f'biospark_environment_condition{{condition="{condition}",environment="{site.name}"}}')

    assert (shown("NetworkReady"), shown("WorkloadReady")) == (1, 0)


async def test_a_deleted_object_is_back_long_before_the_interval(site: Site) -> None:
    site.apply()
    await site.settled()
    before = await site.policy()
    assert before is not None
    ref = ObjectRef.of(before)
    await site.client.delete(ref, uid=before["metadata"]["uid"])

    async def back() -> bool:
        now = await site.policy()
        return now is not None and now["metadata"]["uid"] != before["metadata"]["uid"]

    await site.until(back, "the network policy is back")


@pytest.mark.parametrize("label", ["biospark.ai/environment", "app.kubernetes.io/managed-by"])
async def test_an_edited_label_is_put_back_long_before_the_interval(site: Site, label: str) -> None:
    site.apply()
    await site.settled()
    site.kubectl("label", "role", "biospark-viewer", "-n", site.namespace, "--overwrite", f"{label}=somebody-else")

    async def back() -> bool:
        role = await site.get("rbac.authorization.k8s.io/v1", "Role", "biospark-viewer")
        return role is not None and role["metadata"]["labels"][label] in (site.name, "biospark-operator")

    await site.until(back, "the label is back")


async def test_a_change_of_the_spec_is_acted_on_and_observed(site: Site) -> None:
    site.apply()
    await site.settled()
    generation = (await site.body())["metadata"]["generation"]
    site.apply(network={"egress": [{"name": "labs", "cidr": "10.9.0.0/16", "ports": [{"port": 443}]}]})

    async def observed() -> bool:
        return (await site.body())["status"]["observedGeneration"] == generation + 1

    await site.until(observed, "the new generation is observed")

    async def opened() -> Any:
        return await site.get("networking.k8s.io/v1", "NetworkPolicy", "biospark-egress-labs")

    await site.until(opened, "the new policy is there")


def ask_for_a_pass(site: Site, token: str) -> None:
    site.kubectl("annotate", "bse", site.name, "--overwrite", f"biospark.ai/reconcile-requested-at={token}")


async def echoed(site: Site, token: str) -> None:
    async def handled() -> bool:
        return (await site.body())["status"].get("lastHandledReconcileAt") == token

    await site.until(handled, "the request is handled")


async def test_a_requested_pass_is_made_and_echoed(site: Site) -> None:
    site.apply()
    await site.settled()
    for token in ("one", "two"):
        ask_for_a_pass(site, token)
        await echoed(site, token)


async def test_a_suspended_environment_is_left_alone_until_it_is_resumed(site: Site) -> None:
    site.apply()
    await site.settled()
    site.apply(suspend=True)

    async def suspended() -> bool:
        return await site.told("Suspended") == ("True", "Suspended")

    await site.until(suspended, "is suspended")
    site.kubectl("delete", "networkpolicy", "biospark-default-deny", "-n", site.namespace)
    ask_for_a_pass(site, "while-suspended")
    await echoed(site, "while-suspended")
    assert await site.policy() is None
    site.apply()
    await site.until(site.policy, "the policy is back after the environment was resumed")


async def test_a_changed_pull_secret_is_followed_long_before_the_interval(site: Site, operator: Operator) -> None:
    source = f"pull-{site.name}"

    def write(password: str) -> None:
        config = {"auths": {"registry.example": {"username": "robot", "password": password}}}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": source, "namespace": NAMESPACE, "annotations": {ENVIRONMENTS: site.name}},
            "stringData": {".dockerconfigjson": json.dumps(config)},
        }
        site.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(secret))

    async def copied(password: str) -> bool:
        copy = await site.get("v1", "Secret", "biospark-registry")
        return copy is not None and password in secret_data.texts(copy)[".dockerconfigjson"]

    site.apply(registry={"pullSecretRef": {"name": source}})

    async def missing() -> bool:
        return await site.told("Stalled") == ("True", "PullSecretNotFound")

    await site.until(missing, "the missing secret is reported", 10)
    for password in ("planted-one", "planted-two"):
        write(password)
        await site.until(lambda password=password: copied(password), "the secret is followed")  # type: ignore[misc]
    events = site.kubectl("get", "events", "-A", "-o", "json")
    assert "planted" not in json.dumps(await site.body()) + events + operator.ask("/metrics")[1]
    site.kubectl("delete", "secret", source, "-n", NAMESPACE)


async def test_a_corrected_secret_of_the_database_administrator_is_tried_at_once(site: Site) -> None:
    admin = f"admin-{site.name}"
    # Nobody listens there: what counts is that the Secret is used.
    site.apply(database={"server": {"host": "127.0.0.1", "port": 9, "adminSecretRef": {"name": admin}}})

    async def told(reason: str) -> bool:
        return await site.told("DatabaseReady") == ("False", reason)

    await site.until(lambda: told("DatabaseSecretInvalid"), "the missing secret is reported", 10)
    literals = ("--from-literal=username=biospark", "--from-literal=password=planted-three")
    site.kubectl("create", "secret", "generic", admin, "-n", NAMESPACE, *literals)
    await site.until(lambda: told("SecretUseRefused"), "the secret is for no server yet", 10)
    site.kubectl("annotate", "secret", admin, "-n", NAMESPACE, f"{SERVERS}=127.0.0.1:9")
    await site.until(lambda: told("ServerUnavailable"), "the corrected secret is tried", 10)
    site.kubectl("delete", "secret", admin, "-n", NAMESPACE)


async def gone(site: Site) -> bool:
    namespace = await site.client.get(ObjectRef("v1", "Namespace", None, site.namespace))
    return await site.body() is None and namespace is None


async def test_deletion_removes_everything(site: Site, operator: Operator) -> None:
    site.apply()
    await site.settled()
    site.delete()
    await site.until(lambda: gone(site), "the environment and its namespace are gone", 30)
    assert site.name not in operator.ask("/metrics")[1]


async def test_a_protected_environment_is_kept_until_the_protection_is_lifted(site: Site) -> None:
    site.apply(deletionProtection=True)
    await site.settled()
    site.delete()

    async def refused() -> bool:
        return await site.told("Ready") == ("False", "DeletionProtected")

    await site.until(refused, "the deletion is refused", 10)
    assert await site.policy() is not None
    site.patch({"spec": {"deletionProtection": False}})

    async def going() -> bool:
        namespace = await site.client.get(ObjectRef("v1", "Namespace", None, site.namespace))
        return namespace is None or "deletionTimestamp" in namespace["metadata"]

    await site.until(going, "the deletion goes on", 10)


async def test_an_environment_that_is_made_anew_by_force_is_not_taken_down(site: Site, operator: Operator) -> None:
    site.apply(deletionProtection=True)
    await site.settled()
    site.delete()

    async def refused() -> bool:
        return await site.told("Ready") == ("False", "DeletionProtected")

    await site.until(refused, "the deletion is refused", 10)
    site.patch({"metadata": {"finalizers": None}})
    site.apply(namespace={"name": f"{site.namespace}-anew"})
    await site.settled()

    async def noticed() -> bool:
        return f"somebody took the finalizer of {site.name} away" in operator.log.read_text()

    await site.until(noticed, "the operator noticed that the first one is gone", 10)
    body = await site.body()
    assert "deletionTimestamp" not in body["metadata"]
    namespace = await site.client.get(ObjectRef("v1", "Namespace", None, f"{site.namespace}-anew"))
    assert namespace is not None
    assert "deletionTimestamp" not in namespace["metadata"]


async def test_sigterm_ends_the_process_quickly_and_quietly_and_gives_the_lease_up(
    site: Site, operator: Operator
) -> None:
    site.apply(deletionProtection=True)
    await site.settled()
    site.delete()

    async def refused() -> bool:
        return await site.told("Ready") == ("False", "DeletionProtected")

    await site.until(refused, "a teardown is under way", 10)
    before, began = len(operator.log.read_text()), time.monotonic()
    assert await operator.terminate() == 0
    assert time.monotonic() - began < 15
    assert await holder(site) == ""
    said = [json.loads(line) for line in operator.log.read_text()[before:].splitlines()]
    assert not [line for line in said if line["level"] not in ("DEBUG", "INFO")]


async def test_a_process_that_is_killed_in_its_first_pass_comes_back_and_loses_nothing(
    site: Site, operator: Operator
) -> None:
    site.apply()

    async def begun() -> bool:
        return bool(((await site.body()).get("status") or {}).get("inventory"))

    await site.until(begun, "the first pass has begun", 30)
    operator.kill()
    operator.start()
    await site.settled()
    held = {entry["id"] for entry in (await site.body())["status"]["inventory"]}
    for kind in ("networkpolicies", "roles", "rolebindings", "services", "deployments", "serviceaccounts"):
        listed = json.loads(
            site.kubectl("get", kind, "-n", site.namespace, "-l", f"biospark.ai/environment={site.name}", "-o", "json")
        )
        for item in listed["items"]:
            assert str(ObjectRef.of(item)) in held


async def test_a_standby_takes_over_at_once_when_the_leader_ends(
    site: Site, operator: Operator, control_plane: str, tmp_path: Path
) -> None:
    site.apply()
    await site.settled()
    standby = Operator(control_plane, tmp_path / "standby.log", name="second").start()
    try:

        async def stands_by() -> bool:
            return standby.ask("/readyz") == (200, "ok")

        await site.until(stands_by, "the second one stands by", 15)
        assert standby.metric("biospark_operator_leader") == 0
        assert await operator.terminate() == 0
        began = time.monotonic()

        async def leads() -> bool:
            return await holder(site) == "second"

        await site.until(leads, "the second one leads")
        assert time.monotonic() - began < 12  # a Lease that is not released runs out after 15 s
        site.kubectl("delete", "networkpolicy", "biospark-default-deny", "-n", site.namespace)
        await site.until(site.policy, "the second one repairs", 10)
        assert await standby.terminate() == 0
        assert "Traceback" not in standby.log.read_text()
    finally:
        if standby.alive:
            standby.kill()


@pytest.fixture
def exec_kubeconfig(control_plane: str, tmp_path: Path) -> str:
    """A kubeconfig whose credentials come from a program, as those of managed clusters do."""
    admin = yaml.safe_load(Path(control_plane).read_text())
    plugin = tmp_path / "plugin"
    plugin.write_text(
        f"#!{sys.executable}\n"
        "import base64, json, yaml\n"
        f"user = yaml.safe_load(open({control_plane!r}))['users'][0]['user']\n"
        "def pem(key):\n"
        "    data = user.get(f'{key}-data')\n"
        "    return base64.b64decode(data).decode() if data else open(user[key]).read()\n"
        "status = {'clientCertificateData': pem('client-certificate'), 'clientKeyData': pem('client-key')}\n"
        "version = 'client.authentication.k8s.io/v1'\n"
        "print(json.dumps({'apiVersion': version, 'kind': 'ExecCredential', 'status': status}))\n"
    )
    plugin.chmod(0o755)
    call = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin),
        "interactiveMode": "Never",
    }
    admin["users"][0]["user"] = {"exec": call}
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(admin))
    os.chmod(path, 0o600)  # noqa: PTH101
    return str(path)


async def test_credentials_may_come_from_an_exec_plugin(
    site: Site, operator: Operator, exec_kubeconfig: str, tmp_path: Path
) -> None:
    await operator.terminate()
    plugged = Operator(exec_kubeconfig, tmp_path / "log", name="plugged").start()
    site.operator = plugged
    try:
        site.apply()
        await site.settled()
        site.kubectl("delete", "networkpolicy", "biospark-default-deny", "-n", site.namespace)
        await site.until(site.policy, "kopf's watch works with these credentials, too")
        assert plugged.alive, plugged.log.read_text()
        assert await plugged.terminate() == 0
    finally:
        if plugged.alive:
            plugged.kill()


#: Nobody listens there.
NOBODY = "127.0.0.1:9"


async def test_a_proxy_that_leads_nowhere_stands_between_the_operator_and_the_outside_alone(
    site: Site, operator: Operator, control_plane: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await operator.terminate()
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, f"http://{NOBODY}")
    behind = Operator(control_plane, tmp_path / "log", name="behind").start()
    site.operator = behind
    try:

        async def ready() -> bool:
            return behind.ask("/readyz") == (200, "ok")

        await site.until(ready, "the operator is ready", 30)
        site.apply()
        await site.settled()
        site.kubectl("delete", "networkpolicy", "biospark-default-deny", "-n", site.namespace)
        await site.until(site.policy, "kopf's watch goes past the proxy, too")
        assert await behind.terminate() == 0
    finally:
        if behind.alive:
            behind.kill()


def soon_cut_off(environment: Mapping[str, str], log: Path) -> Process:
    """Start an operator that takes five seconds without the API server for minutes."""
    code = "from biospark_operator.runtime import main, server; server.CUT_OFF = 5.0; main.main()"
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=output, stderr=output)


@pytest.mark.parametrize("election", ["true", "false"])
async def test_an_operator_that_never_reached_the_api_server_is_not_ready_and_not_healthy_for_long(
    control_plane: str, tmp_path: Path, election: str
) -> None:
    config = yaml.safe_load(Path(control_plane).read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://{NOBODY}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    settings = {"LEADER_ELECTION": election}
    lost = Operator(str(path), tmp_path / "log", name="lost", settings=settings, spawn=soon_cut_off).start()
    try:
        async with asyncio.timeout(60):
            while (first := lost.ask("/healthz"))[0] == 0:
                await asyncio.sleep(0.1)
            assert first == (200, "ok"), "a start takes its time"
            while (health := lost.ask("/healthz"))[0] == 200:
                assert lost.ask("/readyz") == (503, "starting: the API server has not answered yet")
                await asyncio.sleep(0.1)
        assert health == (500, "the API server has not been heard for more than 5 s")
        assert lost.ask("/readyz")[0] == 503
    finally:
        lost.kill()
