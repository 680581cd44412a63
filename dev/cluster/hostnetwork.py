"""What a build inside a container needs of this machine to reach a package index the way this machine does.

Companies run their own index behind their own certificate authority. The machine's certificate bundle and its
pip settings are mounted into builds, so that neither is written into a Dockerfile or into a layer.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
OTHER_BUNDLES = ("/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem")
# Settings about reaching an index; settings about where to install would do harm in an image.
INDEX_SETTINGS = frozenset(
    {"index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout", "retries"}
)


def mounts(directory: Path) -> dict[str, str]:
    """Read-only mounts for a build by their path inside; files made for it go to `directory`."""
    bundle = certificate_bundle()
    settings = directory / "pip.conf"
    settings.write_text(pip_configuration(pip_settings(), bundle is not None))
    settings.chmod(0o600)
    found = {"/etc/pip.conf": str(settings)}
    return found if bundle is None else {**found, BUNDLE: str(bundle)}


def certificate_bundle() -> Path | None:
    """The certificates this machine trusts, as one file."""
    candidates = [os.environ.get("SSL_CERT_FILE"), BUNDLE, *OTHER_BUNDLES]
    return next((Path(path) for path in candidates if path and Path(path).is_file()), None)


def pip_settings() -> dict[str, str]:
    """Settings of this machine's pip from its files and environment, by option name."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return parsed_settings(answer.stdout)


def parsed_settings(listing: str) -> dict[str, str]:
    """Settings out of lines like ``global.index-url='…'`` and ``:env:.timeout='…'``; the environment wins."""
    settings: dict[str, str] = {}
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        if found := re.fullmatch(r"[\w:-]+\.([\w-]+)=(.*)", line):
            settings[found[1]] = str(ast.literal_eval(found[2]))
    return settings


def pip_configuration(settings: Mapping[str, str], with_bundle: bool) -> str:
    """A pip.conf with what is about reaching an index, and the mounted certificates."""
    kept = {name: value for name, value in sorted(settings.items()) if name in INDEX_SETTINGS}
    if with_bundle:
        kept["cert"] = BUNDLE
    lines = (f"{name} = {' '.join(value.split())}" for name, value in kept.items())
    return "\n".join(["[global]", *lines, ""])
