"""Custom resource definitions of the products that environments use.

They come out of the pinned Go modules of those products and are never copied into this repository. Converting
the YAML takes seconds, so the result is cached beside the built programs. The control plane applies them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from dev.cluster import programs
from dev.cluster.api import Api, has_condition
from dev.cluster.instance import locked

Definition = dict[str, Any]
PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ANNOTATION = "biospark.ai/dev-cluster-pins"


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 gives a bare ``=`` a type of its own, which nobody means: Prometheus matchers are texts."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: str(node.value))


@dataclasses.dataclass(frozen=True)
class Source:
    """Definitions of one product: the group of pins, the Go module, a glob inside the module."""

    group: str
    module: str
    files: str


SOURCES = (
    Source("addons", "github.com/cert-manager/cert-manager", "deploy/crds/*.yaml"),
    Source("crds", "github.com/kong/kubernetes-configuration", "config/crd/ingress-controller/*konghq.com_*.yaml"),
    Source("crds", "github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd/*.yaml"),
    Source("crds", "istio.io/api", "kubernetes/customresourcedefinitions.gen.yaml"),
    Source("crds", "github.com/elastic/cloud-on-k8s/v3", "config/crds/v1/all-crds.yaml"),
    Source("crds", "sigs.k8s.io/gateway-api", "config/crd/standard/*_*.yaml"),
)


def ensure(report: Callable[[str], None] = print) -> Path:
    """The cached file with all definitions, made first when the pins have changed."""
    target = cached()
    if target.exists():
        return target
    with locked(target.parent):
        if not target.exists():
            report("Collecting the custom resource definitions (once; usually 20 s)")
            definitions = [definition for source in SOURCES for definition in read(source)]
            unfinished = target.with_suffix(".unfinished")
            unfinished.write_text(json.dumps(definitions))
            unfinished.replace(target)
    return target


def cached() -> Path:
    """Where the definitions are cached: the name stands for the pins and for how they are converted."""
    parts = [programs.hash_of_pins(programs.SOURCES / group) for group in ("addons", "crds")]
    parts.append(Path(__file__).read_text())
    return programs.cache_of("crds") / f"{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:12]}.json"


def read(source: Source) -> Iterator[Definition]:
    """The definitions of one product out of Go's module cache."""
    directory = programs.module_directory(source.group, source.module)
    for file in sorted(directory.glob(source.files)):
        for document in yaml.load_all(file.read_text(), Loader=_Loader):
            if document and document["kind"] == "CustomResourceDefinition":
                yield prepared(document)


def prepared(definition: Definition) -> Definition:
    """A definition without status and descriptions.

    Descriptions are three quarters of the size, and only `kubectl explain` reads them: the API server starts
    and publishes its schema that much faster.
    """
    return {key: _without_descriptions(value) for key, value in definition.items() if key != "status"}


def apply(api: Api, definitions: Path) -> None:
    """Apply the definitions, unless the API server has exactly these, and wait until it serves them."""
    present = {item["metadata"]["name"]: item["metadata"] for item in api.items(PATH)}
    version = definitions.stem
    manifests = [marked(manifest, version) for manifest in json.loads(definitions.read_text())]
    changed = [one for one in manifests if _version_of(present.get(one["metadata"]["name"])) != version]
    _apply(api, changed)


def apply_missing(api: Api, definitions: Path) -> None:
    """Apply the definitions that the API server does not have in any version, and wait until it serves them."""
    present = {item["metadata"]["name"] for item in api.items(PATH)}
    manifests = json.loads(definitions.read_text())
    _apply(api, [manifest for manifest in manifests if manifest["metadata"]["name"] not in present])


def marked(definition: Definition, version: str) -> Definition:
    """The definition with a note of the pins it came from."""
    metadata = definition["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION: version}
    return {**definition, "metadata": {**metadata, "annotations": annotations}}


def _apply(api: Api, manifests: list[Definition]) -> None:
    """Apply definitions; the server works on all of them while we wait for one after the other."""
    api.apply_all(manifests)
    for manifest in manifests:
        name = manifest["metadata"]["name"]
        api.await_object(f"{PATH}/{name}", has_condition("Established"), 60, f"serving {name}")


def _version_of(metadata: Any) -> str | None:
    return None if metadata is None else metadata.get("annotations", {}).get(ANNOTATION)


def _without_descriptions(node: Any) -> Any:
    """Drop `description` where it is a text: where it is a schema, it is a property that is called so."""
    if isinstance(node, dict):
        kept = ((key, value) for key, value in node.items() if key != "description" or not isinstance(value, str))
        return {key: value if key in ("default", "enum") else _without_descriptions(value) for key, value in kept}
    return [_without_descriptions(item) for item in node] if isinstance(node, list) else node
