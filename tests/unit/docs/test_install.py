"""What the page on the installation says to write leads to an environment that one can log in to."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import yaml

from biospark_operator.api.platform import Platform
from biospark_operator.components.workload.settings import settings
from biospark_operator.engine.component import Environment
from biospark_operator.runtime.admission import admission

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "biospark-operator"
PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
INSTALL = PAGE[PAGE.index("## Install\n") : PAGE.index("## Values that matter")]


def values() -> Any:
    """The values that the page has one write down."""
    (block,) = re.findall(r"```yaml\n# values.yaml\n(.*?)```", INSTALL, flags=re.DOTALL)
    return yaml.safe_load(block)


def platform() -> Platform:
    return Platform.model_validate(values()["platform"])


def environment() -> Environment:
    """The environment that the page has one create, as an operator with these values works on it."""
    (block,) = re.findall(r"<<EOF\n(.*?)EOF", INSTALL, flags=re.DOTALL)
    body = yaml.safe_load(block)
    body["metadata"] |= {"uid": "u", "generation": 1}
    admitted = admission(platform(), "biospark-system")(body)
    assert isinstance(admitted, Environment), admitted
    return admitted


def test_the_chart_takes_the_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(values(), schema)


def test_the_environment_has_a_database_and_somebody_who_can_log_in() -> None:
    told = settings(environment(), platform())
    assert told["DATABASE_HOST"] == values()["platform"]["database"]["host"]
    assert told["BOOTSTRAP_ADMIN_EMAIL"]
    assert told["TRUSTED_PROXIES"]


def test_the_operator_is_let_through_to_the_database() -> None:
    host = values()["platform"]["database"]["host"]
    assert values()["networkPolicy"]["egress"]["database"]["cidrs"] == [f"{host}/32"]


def test_every_secret_that_the_values_name_is_created_before_the_chart_is_installed() -> None:
    database = values()["platform"]["database"]
    before = INSTALL[: INSTALL.index("helm -n biospark-system install")]
    for reference, keys in (("adminSecretRef", ("username", "password")), ("caSecretRef", ("ca.crt",))):
        (command,) = re.findall(rf"create secret generic {database[reference]['name']} (.*)", before)
        assert {key for _, key in re.findall(r"--from-(literal|file)=([\w.]+)=", command)} == set(keys)


def test_the_password_is_read_where_the_operator_puts_it() -> None:
    env = environment()
    (namespace, secret, key) = re.findall(r"-n (\S+) get secret (\S+) -o jsonpath='\{\.data\.([\w-]+)\}'", INSTALL)[0]
    file = Path(settings(env, platform())["BOOTSTRAP_ADMIN_PASSWORD_FILE"])
    assert (namespace, secret, key) == (env.spec.namespace.name, "biospark-api", file.name)
