"""The image that holds the namespaces of every pod: one static program, packed without any build tool.

The node imports it before the first pod, so that pods need neither a registry nor buildah.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile

from dev.cluster import packages, programs
from dev.cluster.instance import ClusterError, Instance
from dev.cluster.nodeconfig import PAUSE_IMAGE

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def ensure(instance: Instance) -> None:
    """Import the image into the node's containerd unless it is there."""
    ctr = [packages.which("ctr") or "ctr", f"--address={instance.containerd_socket}", "--namespace=k8s.io"]
    listing = subprocess.run([*ctr, "images", "list", "-q"], capture_output=True, text=True, check=False)
    if PAUSE_IMAGE in listing.stdout.split():
        return
    content = archive(programs.binary("pause").read_bytes(), PAUSE_IMAGE)
    answer = subprocess.run([*ctr, "images", "import", "-"], input=content, capture_output=True, check=False)
    if answer.returncode:
        raise ClusterError(f"importing {PAUSE_IMAGE} failed: {answer.stderr.decode().strip()}")


def archive(program: bytes, name: str) -> bytes:
    """An image archive (the format of `docker save`) with one program as its entry point."""
    layer = _tar({"pause": program}, mode=0o755)
    config = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "layer.tar": layer,
            "config.json": json.dumps(config).encode(),
            "manifest.json": json.dumps(manifest).encode(),
        }
    )


def _tar(files: dict[str, bytes], mode: int = 0o644) -> bytes:
    """A tar archive that is the same for the same content."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return output.getvalue()
