"""What the demo and the tests install with, on answers of the API server as they come right after a start."""

import json
import sys
from pathlib import Path

import pytest

from dev.deploy import Tools


def fake_kubectl(home: Path, *conditions: object) -> Tools:
    """kubectl whose answers have these conditions, one after the other; it fails as the real one does with `wait`."""
    (home / "bin").mkdir()
    for number, each in enumerate(conditions):
        (home / f"answer-{number}").write_text(json.dumps({"status": {"conditions": each}}))
    program = home / "bin" / "kubectl"
    program.write_text(
        f"""#!/bin/sh
cd {home}
case $1 in
  get) n=$(cat asked 2>/dev/null || echo 0); echo $((n + 1)) > asked; cat answer-$n;;
  wait) echo "error: .status.conditions accessor error: <nil> is of the type <nil>" >&2; exit 1;;
  explain) echo KIND;;
esac
"""
    )
    program.chmod(0o755)
    return Tools(home / "kubeconfig")


def test_a_definition_whose_conditions_are_null_at_first_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    accepted = {"type": "NamesAccepted", "status": "True"}
    established = {"type": "Established", "status": "True"}
    tools = fake_kubectl(tmp_path, None, [accepted], [accepted, established])

    tools.define()

    assert (tmp_path / "asked").read_text().strip() == "3"


def test_a_definition_that_is_never_established_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    tools = fake_kubectl(tmp_path, [{"type": "Established", "status": "False"}], None)
    with pytest.raises(RuntimeError, match="does not accept the definition"):
        tools.define(seconds=0)
