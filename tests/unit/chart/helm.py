"""Renders and lints the chart with the helm that the local cluster pins. Used by every test of the chart."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "biospark-operator"

#: A helm that was not released by its project takes itself for one of Kubernetes 1.20.
KUBERNETES = "1.35.0"

Manifest = Mapping[str, Any]
Values = Mapping[str, Any]


class OnceOnly(yaml.SafeLoader):
    """Reads YAML as Kubernetes' own tools do: a key that is there twice is an error, not the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, and refuse one that has a key twice."""
        keys = [key.value for key, _ in node.value]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"given twice: {sorted(twice)}", node.start_mark)
        return super().construct_mapping(node, deep=deep)


class HelmError(Exception):
    """What helm said when it refused; the text is what a user reads."""


@dataclass(frozen=True)
class Helm:
    """The helm program, applied to the chart."""

    program: Path

    def template(self, values: Values | None = None, *, kubernetes: str = KUBERNETES) -> str:
        """Return all manifests as text. Raises `HelmError`."""
        chart = ["template", "biospark-operator", str(CHART), "--namespace", "biospark-system"]
        return self._run([*chart, "--kube-version", kubernetes, "--values", "-"], values)

    def manifests(self, values: Values | None = None, *, kubernetes: str = KUBERNETES) -> Sequence[Manifest]:
        """Return all manifests parsed; a key that is there twice is an error. Raises `HelmError`."""
        rendered = self.template(values, kubernetes=kubernetes)
        return [found for found in yaml.load_all(rendered, Loader=OnceOnly) if found]

    def within(
        self, folder: Path, values: Values, *, alias: str | None = None, release: str = "clinic"
    ) -> Sequence[Manifest]:
        """Return the manifests of an umbrella chart made in `folder`, which has this one as a dependency.

        `values` are those of the umbrella chart; `<name>.enabled` is the condition. Raises `HelmError`.
        """
        umbrella = folder / "umbrella"
        shutil.copytree(CHART, umbrella / "charts" / CHART.name)
        name = alias or CHART.name
        dependency = {"name": CHART.name, "version": "*", "condition": f"{name}.enabled"}
        if alias:
            dependency["alias"] = alias
        chart = {"apiVersion": "v2", "name": "umbrella", "version": "1.0.0", "dependencies": [dependency]}
        (umbrella / "Chart.yaml").write_text(yaml.safe_dump(chart))
        command = ["template", release, str(umbrella), "--namespace", "clinics", "--kube-version", KUBERNETES]
        rendered = self._run([*command, "--values", "-"], values)
        return [found for found in yaml.load_all(rendered, Loader=OnceOnly) if found]

    def manifest(self, kind: str, name: str = "biospark-operator", values: Values | None = None) -> Manifest:
        """Return the one manifest of this kind and name."""
        (found,) = (m for m in self.manifests(values) if (m["kind"], m["metadata"]["name"]) == (kind, name))
        return found

    def lint(self, values: Values | None = None) -> str:
        """Return what strict linting says. Raises `HelmError` where it finds a fault."""
        return self._run(["lint", "--strict", str(CHART), "--kube-version", KUBERNETES, "--values", "-"], values)

    def notes(self, folder: Path, values: Values | None = None) -> str:
        """Return the text that a user reads after an installation, rendered in a copy of the chart in `folder`.

        `helm template` leaves it out and `helm install --dry-run` wants a cluster: the copy has it as a manifest.
        """
        copy = folder / CHART.name
        shutil.copytree(CHART, copy)
        text = (copy / "templates" / "NOTES.txt").read_text()
        (copy / "templates" / "_notes.tpl").write_text(f'{{{{ define "notes" }}}}{text}{{{{ end }}}}')
        (copy / "templates" / "notes.yaml").write_text('notes: {{ include "notes" . | toJson }}')
        chart = ["template", "biospark-operator", str(copy), "--namespace", "biospark-system"]
        only = ["--kube-version", KUBERNETES, "--show-only", "templates/notes.yaml", "--values", "-"]
        return str(yaml.safe_load(self._run([*chart, *only], values))["notes"])

    def _run(self, arguments: Sequence[str], values: Values | None) -> str:
        answer = subprocess.run(
            [str(self.program), *arguments],
            input=yaml.safe_dump(dict(values or {})),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "KUBECONFIG": os.devnull},  # no test may reach a cluster
        )
        if answer.returncode:
            raise HelmError(answer.stderr + answer.stdout)
        return answer.stdout
