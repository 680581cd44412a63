"""The exchange of the signing key by hand, with the commands of the documentation, word by word.

The page waits until every pod knows the new key; a test waits for what it is about.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "secrets.md"
BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class KeyExchange:
    """The exchange of the key of one environment; its files, the private key among them, are in `folder`."""

    namespace: str
    kubeconfig: str
    folder: Path

    @property
    def key(self) -> str:
        """The new key."""
        return (self.folder / "token-key.pem").read_text()

    def announce(self) -> None:
        """Make a key, and its public half one that is accepted."""
        before, _ = _documented()
        self._run(before)

    def sign(self) -> None:
        """Make it the key that signs."""
        before, after = _documented()
        definition = before[before.index("write()") : before.index("write --from")]
        self._run(definition + after.replace("rm token-key.pem", ""))

    def _run(self, script: str) -> None:
        environment = {
            "PATH": f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin",
            "KUBECONFIG": self.kubeconfig,
            "HOME": str(self.folder),
            # The page sets it in an earlier step.
            "namespace": self.namespace,
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=environment, cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stderr}"


def _documented() -> tuple[str, str]:
    """Return the commands before and after the wait."""
    (block,) = [found for found in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if "write()" in found]
    before, wait, after = str(block).partition("sleep ")
    assert wait, "the page waits for the pods"
    return before, after.partition("\n")[2]
