"""An upgrade of the operator, and the way back, as an administrator does it: nothing of an environment is lost.

The earlier state is the one before the last change of the chart, with the operator and the definition of that time;
`BIOSPARK_PREVIOUS` names another commit, such as a release. Where there is no history (a tarball, a shallow clone)
the chart is installed over itself, which a warning says: that still shows that a new process leaves all as it is.
"""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev import deploy
from tests.e2e.conftest import Deployed, Installation

pytestmark = pytest.mark.e2e

DEFINITION = "biosparkenvironments.biospark.ai"
#: A unique part of the annotations of the operator's pods, so that each installation has new ones.
STAMP = "biospark-tests/installed"


@dataclass(frozen=True)
class State:
    """A state of the project: the files that make up an installation, and the image of its operator."""

    checkout: Path
    image: str

    @property
    def definition(self) -> Any:
        """The schema of environments."""
        text = (self.checkout / "crds" / "biospark.ai_biosparkenvironments.yaml").read_text()
        return yaml.safe_load(text)["spec"]["versions"][0]["schema"]


def previous_commit() -> str | None:
    """Return the commit to upgrade from, or None where there is no history."""
    if chosen := os.environ.get("BIOSPARK_PREVIOUS"):
        return chosen
    changed = git("log", "-1", "--format=%H", "--", "charts").strip()
    return git("rev-parse", "--verify", "--quiet", f"{changed}^").strip() or None


def git(*args: str) -> str:
    """Run git in the checkout; what fails prints nothing."""
    command = ["git", "-C", str(deploy.CHECKOUT), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def present(installation: Installation) -> State:
    """This checkout."""
    return State(deploy.CHECKOUT, installation.images["operator"])


@pytest.fixture(scope="module")
def previous(installation: Installation, present: State, tmp_path_factory: pytest.TempPathFactory) -> State:
    """What was before the last change of the chart."""
    commit = previous_commit()
    if commit is None:
        warnings.warn("no history: the chart is upgraded from itself, not from an earlier state", stacklevel=1)
        return present
    checkout = tmp_path_factory.mktemp("previous")
    archive = subprocess.run(
        ["git", "-C", str(deploy.CHECKOUT), "archive", commit], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(checkout, filter="data")
    dockerfile = checkout / "operator" / "Dockerfile"
    image = installation.cluster.build_image(dockerfile, "localhost/biospark/operator:previous", checkout)
    return State(checkout, image)


@pytest.fixture
def restored(installation: Installation) -> Iterator[None]:
    """Leave the present operator to the other tests, also when the test ends on the way."""
    yield
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    found = installation.tools.kubectl("get", "deployment", deploy.RELEASE, "-n", deploy.NAMESPACE, "-o", image)
    if found != installation.images["operator"]:
        deploy.install(installation.cluster, installation.images)


@pytest.mark.usefixtures("restored")
def test_environments_are_not_touched_by_an_upgrade_and_the_way_back(
    installation: Installation, present: State, previous: State, env: Deployed, second_env: Deployed
) -> None:
    env.apply(network={"egress": [{"name": "labs", "cidr": "10.9.0.0/16", "ports": [{"port": 443}]}]})
    env.until("Ready", "True")
    before = objects(env)

    install(installation, previous)
    assert definition(installation) == previous.definition
    worked_on(env)
    same(env, before)
    second_env.apply(access={"bindings": [{"role": "Viewer", "subjects": [{"kind": "Group", "name": "support"}]}]})
    second_env.until("Ready", "True")
    made_earlier = objects(second_env)

    install(installation, present)
    assert definition(installation) == present.definition
    for each, then in ((env, before), (second_env, made_earlier)):
        worked_on(each)
        same(each, then)
    installation.check_rights()


def install(installation: Installation, state: State) -> None:
    """Install the chart of a state over what is there, and return when its operator leads."""
    installation.check_rights()
    tools, old = installation.tools, leader(installation)
    values = deploy.values(installation.cluster, {**installation.images, "operator": state.image})
    values["podAnnotations"] = {STAMP: f"{time.time():.0f}"}
    tools.helm(
        "upgrade", deploy.RELEASE, str(state.checkout / "charts" / "biospark-operator"),
        "--namespace", deploy.NAMESPACE, "--reset-values", "--values", "-",
        text=json.dumps(values),
    )  # fmt: skip
    rollout = ("rollout", "status", f"deployment/{deploy.RELEASE}", "-n", deploy.NAMESPACE, "--timeout=120s")
    tools.kubectl(*rollout)
    deadline = time.monotonic() + 60
    while leader(installation) in ("", old):
        assert time.monotonic() < deadline, f"nobody took over from {old}\n{installation.operator_log()[-4000:]}"
        time.sleep(0.2)


def leader(installation: Installation) -> str:
    """Return the name of the pod that holds the Lease."""
    path = "jsonpath={.spec.holderIdentity}"
    return installation.tools.kubectl("get", "lease", "biospark-operator", "-n", deploy.NAMESPACE, "-o", path)


def definition(installation: Installation) -> Any:
    """Return the schema of environments as the API server has it."""
    crd = json.loads(installation.tools.kubectl("get", "crd", DEFINITION, "-o", "json"))
    return crd["spec"]["versions"][0]["schema"]


def worked_on(env: Deployed) -> None:
    """Wait until the operator that leads now has made a whole pass: it says when one begins, so until a second one."""
    for number in range(2):
        request = f"{time.time():.3f}-{number}"
        env.tools.kubectl("annotate", "bse", env.name, "--overwrite", f"biospark.ai/reconcile-requested-at={request}")

        def handled(request: str = request) -> bool:
            path = "jsonpath={.status.lastHandledReconcileAt}"
            return env.tools.kubectl("get", "bse", env.name, "-o", path) == request

        env.eventually(handled, "a pass begins")
    env.until("Ready", "True")


def objects(env: Deployed) -> Mapping[str, Any]:
    """Return what there is of an environment: uids by object, the template of its pods and the pods."""
    body = json.loads(env.tools.kubectl("get", "bse", env.name, "-o", "json"))
    uids = {entry["id"]: uid_of(env, entry["id"]) for entry in body["status"]["inventory"]}
    deployment = json.loads(env.kubectl("get", "deployment", "biospark-api", "-o", "json"))
    pods = json.loads(env.kubectl("get", "pods", "-l", "app=biospark", "-o", "json"))["items"]
    restarts = {
        pod["metadata"]["uid"]: [container["restartCount"] for container in pod["status"]["containerStatuses"]]
        for pod in pods
    }
    return {
        "uid": body["metadata"]["uid"],
        "uids": uids,
        "template": deployment["spec"]["template"],
        "pods": restarts,
    }


def uid_of(env: Deployed, target: str) -> str:
    api_version, kind, path = target.split(" ")
    group, _, version = api_version.rpartition("/")
    kind = f"{kind}.{version}.{group}" if group else kind
    return env.kubectl("get", kind, path.rpartition("/")[2], "-o", "jsonpath={.metadata.uid}")


def same(env: Deployed, before: Mapping[str, Any]) -> None:
    """Fail if anything that was there is gone or another one, or a pod was replaced without need."""
    now = objects(env)
    assert now["uid"] == before["uid"]
    assert {target: now["uids"].get(target) for target in before["uids"]} == before["uids"]
    assert all(before["uids"].values())
    if now["template"] == before["template"]:
        assert now["pods"] == before["pods"]
    assert env.get("/healthz")[0] == 200
