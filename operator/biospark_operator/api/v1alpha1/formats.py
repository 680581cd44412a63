"""The text formats that several sections share, and references to Secrets and ConfigMaps."""

from typing import Annotated

from pydantic import Field

from biospark_operator.api.v1alpha1.constraints import Entries, Text
from biospark_operator.api.v1alpha1.model import Model

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_QUALIFIED = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
LABEL_KEY_PATTERN = rf"^({_LABEL}(\.{_LABEL})*/)?{_QUALIFIED}$"

DnsLabel = Annotated[
    str,
    Text(
        "write at most 63 lower-case letters, digits and hyphens, such as team-a; begin and end with a letter or digit",
        pattern=f"^{_LABEL}$",
        max_length=63,
    ),
]
DnsName = Annotated[
    str,
    Text(
        "write a DNS name in lower case without scheme, port or path, such as api.dev.example.com",
        pattern=rf"^{_LABEL}(\.{_LABEL})*$",
        max_length=253,
    ),
]
HostName = Annotated[
    str,
    Text(
        "write a host name or an IP address without scheme and port, such as postgres.example.com or 10.0.0.5",
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$|^[0-9A-Fa-f:.]+$",
        max_length=253,
    ),
]
ObjectName = Annotated[
    str,
    Text(
        "write the name of a Kubernetes object: lower-case letters, digits, hyphens and dots, such as my-secret",
        pattern=rf"^{_LABEL}(\.{_LABEL})*$",
        max_length=253,
    ),
]
DataKey = Annotated[
    str,
    Text(
        "write a key of the object's data: letters, digits, dots, hyphens and underscores, such as ca.crt",
        pattern="^[-._A-Za-z0-9]+$",
        max_length=253,
    ),
]
HttpUrl = Annotated[
    str,
    Text(
        "write a URL that begins with https:// or http:// and holds no user name or password",
        pattern=r"^https?://[^\s@]+$",
        max_length=1024,
    ),
]
PathSegments = Annotated[
    str,
    Text(
        "write path segments of letters, digits, hyphens, underscores and dots, separated by single slashes, without "
        "one at either end, such as biospark/dev",
        pattern="^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$",
        max_length=253,
    ),
]
LabelValue = Annotated[
    str,
    Text(
        "write at most 63 letters, digits, dots, hyphens and underscores; begin and end with a letter or digit",
        pattern="^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$",
        max_length=63,
        min_length=0,
    ),
]
Labels = Annotated[dict[str, LabelValue], Entries(32)]
Port = Annotated[int, Field(ge=1, le=65535)]


class WholeSecretReference(Model):
    """A Secret in the operator's own namespace whose keys are given."""

    name: ObjectName = Field(description="Name of a Secret in the namespace of the operator.")


class SecretReference(WholeSecretReference):
    """One key of a Secret in the operator's own namespace; other namespaces can't be read through it."""

    key: DataKey | None = Field(
        None, description="Key in the Secret's data. The description of the reference names its default."
    )


class ConfigMapReference(Model):
    """A ConfigMap in the operator's own namespace."""

    name: ObjectName = Field(description="Name of a ConfigMap in the namespace of the operator.")
    key: DataKey | None = Field(None, description="Key in the ConfigMap's data. Absent: its only key.")
