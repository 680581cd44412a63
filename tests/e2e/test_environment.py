"""What a cluster admin sees: an environment comes up, stays up, changes, explains itself, and goes."""

from __future__ import annotations

import base64
import json
import threading
import time

import pytest

from biospark_operator.components.outside import ENVIRONMENTS
from dev import deploy
from tests.e2e.conftest import Deployed, fetch

pytestmark = pytest.mark.e2e


def test_an_environment_becomes_ready_and_its_api_answers(env: Deployed) -> None:
    env.apply()
    env.tools.kubectl("wait", "--for=condition=Ready", f"bse/{env.name}", "--timeout=90s")
    assert env.get("/healthz")[0] == 200
    assert env.get("/readyz")[0] == 200
    document = json.loads(env.get("/openapi.json")[1])
    assert document["info"]["title"] == "BioSpark Health AI API"
    status, body = env.get("/api/v1/nothing")
    assert (status, json.loads(body)["status"]) == (404, 404)


def test_a_deployment_deleted_by_hand_comes_back(env: Deployed) -> None:
    env.apply()
    env.until("Ready", "True")
    uid = env.kubectl("get", "deployment", "biospark-api", "-o", "jsonpath={.metadata.uid}")
    env.kubectl("delete", "deployment", "biospark-api")

    def is_another() -> bool:
        found = env.kubectl("get", "deployment", "biospark-api", "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
        return bool(found) and found != uid

    env.eventually(is_another, "the Deployment is made again", seconds=20)
    env.until("Ready", "True")
    assert env.get("/healthz")[0] == 200


def test_a_new_image_rolls_out_without_losing_a_request(env: Deployed) -> None:
    first = env.installation.images["api"]
    second = f"{first.rpartition(':')[0]}:{env.name}"
    env.installation.cluster.tag_image(first, second)
    env.apply("Staging")
    env.until("Ready", "True")
    address = env.kubectl("get", "service", "biospark-api", "-o", "jsonpath={.spec.clusterIP}")
    failures, asked, rolled_out = [], 0, threading.Event()

    def ask() -> None:
        nonlocal asked
        while not rolled_out.is_set():
            asked += 1
            try:
                if fetch(f"http://{address}/healthz")[0] != 200:
                    failures.append("not 200")
            except OSError as error:
                failures.append(str(error))
            time.sleep(0.01)  # bounded load: about a hundred requests per second

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        env.apply("Staging", api={"image": second})
        env.until("Ready", "True", seconds=120)
    finally:
        rolled_out.set()
        asking.join()
    images = env.kubectl("get", "pods", "-l", "app=biospark", "-o", "jsonpath={.items[*].spec.containers[*].image}")
    assert second in images
    assert asked > 100
    assert failures == []


def test_an_image_that_does_not_exist_is_explained_and_the_old_version_serves_on(env: Deployed) -> None:
    env.apply()
    env.until("Ready", "True")
    env.apply(api={"image": "localhost/biospark/api:never-built"})
    env.until("WorkloadReady", "False", "ImagePullFailed", says="image localhost/biospark/api:never-built", seconds=60)
    assert "1 of 1 pods of the previous version still serve" in env.dump()
    assert env.get("/healthz")[0] == 200
    env.apply()
    env.until("Ready", "True")


def test_a_crashing_image_is_explained(env: Deployed) -> None:
    # The operator's image is no API: without settings for a cluster it ends with an error.
    env.apply(api={"image": env.installation.images["operator"]})
    found = env.until("WorkloadReady", "False", "CrashLooping", seconds=120)
    message = next(c["message"] for c in found["status"]["conditions"] if c["type"] == "WorkloadReady")
    assert "kubectl logs" in message


def test_a_quota_in_the_way_is_explained_and_a_raised_one_heals(env: Deployed) -> None:
    env.apply(namespace={"quota": {"pods": 1}}, api={"replicas": 2})
    env.until("WorkloadReady", "False", "QuotaExceeded", says="quota")
    env.apply(api={"replicas": 2})
    env.until("Ready", "True", seconds=120)


def test_pods_that_no_node_can_take_are_explained(env: Deployed) -> None:
    env.apply(
        namespace={"quota": {"cpu": "64", "memory": "256Gi"}},
        api={"resources": {"requests": {"cpu": "60"}, "limits": {"cpu": "60"}}},
    )
    env.until("WorkloadReady", "False", "Unschedulable", says="Insufficient cpu")


def test_staging_follows_the_restricted_standard_with_autoscaling(env: Deployed) -> None:
    env.apply("Staging", api={"autoscaling": {"minReplicas": 2, "maxReplicas": 3, "targetCPUPercent": 80}})
    env.until("Ready", "True")
    label = "jsonpath={.metadata.labels.pod-security\\.kubernetes\\.io/enforce}"
    assert env.tools.kubectl("get", "ns", env.namespace, "-o", label) == "restricted"
    # A pod that does not follow the standard is refused by the namespace.
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "root", "namespace": env.namespace},
        "spec": {"containers": [{"name": "root", "image": "any", "securityContext": {"privileged": True}}]},
    }
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        env.tools.kubectl("apply", "-f", "-", text=json.dumps(pod))


def test_production_is_protected_until_it_is_not(env: Deployed) -> None:
    env.apply("Production", api={"resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}})
    env.until("Ready", "True")
    assert env.kubectl("get", "pdb", "-o", "name")
    with pytest.raises(RuntimeError, match="deletionProtection"):
        env.tools.kubectl("delete", "bse", env.name, "--wait=false")
    env.tools.kubectl("patch", "bse", env.name, "--type=merge", "-p", '{"spec":{"deletionProtection":false}}')
    env.delete()
    assert env.tools.kubectl("get", "ns", env.namespace, "--ignore-not-found") == ""


def test_the_pull_secret_is_followed_long_before_the_interval_and_stays_secret(env: Deployed) -> None:
    source = f"pull-{env.name}"

    def write(password: str) -> None:
        config = {"auths": {"registry.example": {"username": "robot", "password": password}}}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": source, "namespace": deploy.NAMESPACE, "annotations": {ENVIRONMENTS: env.name}},
            "stringData": {".dockerconfigjson": json.dumps(config)},
        }
        env.tools.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(secret))

    def copied() -> str:
        path = "jsonpath={.data.\\.dockerconfigjson}"
        return base64.b64decode(
            env.kubectl("get", "secret", "biospark-registry", "--ignore-not-found", "-o", path)
        ).decode()

    env.apply(registry={"pullSecretRef": {"name": source}})
    env.until("RegistryReady", "False", "PullSecretNotFound")
    write("planted-first")
    env.until("Ready", "True")
    assert "planted-first" in copied()
    write("planted-second")
    env.eventually(lambda: "planted-second" in copied(), "the copy follows", seconds=20)
    told = env.tools.kubectl("get", "bse", env.name, "-o", "yaml") + env.installation.operator_log()
    assert "planted" not in told + env.tools.kubectl("get", "events", "-A", "-o", "yaml")
    env.tools.kubectl("delete", "secret", source, "-n", deploy.NAMESPACE)


def test_deletion_leaves_nothing(env: Deployed) -> None:
    env.apply()
    env.until("Ready", "True")
    env.delete()
    kinds = "ns,deploy,svc,netpol,role,rolebinding,sa,quota,limitrange,hpa,pdb,secret,cm"
    selector = f"biospark.ai/environment={env.name}"
    assert env.tools.kubectl("get", kinds, "-A", "-l", selector, "-o", "name") == ""


def test_another_replica_takes_over_when_the_leader_is_killed(env: Deployed) -> None:
    env.apply()
    env.until("Ready", "True")

    def leader() -> str:
        return env.tools.kubectl(
            "get", "lease", "biospark-operator", "-n", deploy.NAMESPACE, "-o", "jsonpath={.spec.holderIdentity}"
        )

    env.installation.check_rights()
    old = leader()
    env.tools.kubectl("delete", "pod", old, "-n", deploy.NAMESPACE, "--grace-period=0", "--force")
    env.eventually(lambda: leader() not in ("", old), "another pod leads", seconds=40)
    env.kubectl("delete", "networkpolicy", "biospark-default-deny")
    env.eventually(
        lambda: bool(env.kubectl("get", "networkpolicy", "biospark-default-deny", "--ignore-not-found", "-o", "name")),
        "the new leader repairs",
    )


def test_environments_survive_that_the_operator_is_uninstalled(env: Deployed) -> None:
    env.apply()
    env.until("Ready", "True")
    env.installation.check_rights()
    env.tools.helm("uninstall", deploy.RELEASE, "--namespace", deploy.NAMESPACE, "--wait")
    try:
        assert env.get("/healthz")[0] == 200
        env.kubectl("delete", "networkpolicy", "biospark-default-deny")
    finally:
        deploy.install(env.installation.cluster, env.installation.images)
    env.eventually(
        lambda: bool(env.kubectl("get", "networkpolicy", "biospark-default-deny", "--ignore-not-found", "-o", "name")),
        "the new operator repairs what changed meanwhile",
    )
    env.until("Ready", "True")
