"""Why a node could not pull an image, in few words. Pure; used by `obstacles`.

Container runtimes pass on what the registry said, wrapped several times and with back-off times; the causes are
told apart by the words that containerd, CRI-O and the registries use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

PULL_STATES = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)


@dataclass(frozen=True, slots=True)
class PullFault:
    """What is said after the name of the image, and whether trying again may help."""

    words: str
    lasting: bool


_BY_STATE = {
    "InvalidImageName": PullFault("is not a valid reference; correct spec.api.image", lasting=True),
    "ErrImageNeverPull": PullFault(
        "is not on the node, and platform.imagePullPolicy is Never; load it onto the nodes, or change that setting "
        "of the operator",
        lasting=True,
    ),
    "SignatureValidationFailed": PullFault(
        "has no signature that the node accepts; sign it, or correct spec.api.image", lasting=True
    ),
}
#: In this order: what a registry answers when it hides what exists mentions both causes.
_BY_WORDS = (
    (
        r"401 Unauthorized|403 Forbidden|unauthorized|authorization failed|authentication required|access denied|"
        r"insufficient_scope|no basic auth",
        PullFault(
            "is refused by the registry, which needs credentials or does not have it; check "
            "spec.registry.pullSecretRef and spec.api.image",
            lasting=True,
        ),
    ),
    (
        r"not found|NotFound|manifest unknown|name unknown",
        PullFault("does not exist in the registry; push it, or correct spec.api.image", lasting=True),
    ),
    (
        r"x509|certificate|HTTP response to HTTPS",
        PullFault("can't be pulled: the nodes don't trust the registry's certificate, or it has none", lasting=True),
    ),
    (
        r"no match for platform",
        PullFault("is not built for the nodes' platform; push it for that, or correct spec.api.image", lasting=True),
    ),
    (
        r"no such host|server misbehaving",
        PullFault("can't be pulled yet: the registry has no address", lasting=False),
    ),
    (r"toomanyrequests|429 Too Many", PullFault("can't be pulled yet: the registry limits the pulls", lasting=False)),
    (
        r"timeout|deadline exceeded|refused|unreachable|no route|reset|EOF",
        PullFault("can't be pulled yet: the registry does not answer", lasting=False),
    ),
)
_UNKNOWN = PullFault("can't be pulled yet; kubectl describe pods says more", lasting=False)


def pull_fault(image: str, state: str, message: str) -> PullFault:
    """Return why `image` could not be pulled, from the waiting state of its container and the state's message."""
    if state in _BY_STATE:
        return _BY_STATE[state]
    # The words are looked for in what was said about the image, not in its name.
    said = message.replace(image, "").replace(image.partition("/")[2] or image, "")
    return next((fault for pattern, fault in _BY_WORDS if re.search(pattern, said)), _UNKNOWN)
