"""`spec.secrets`: where the secrets of the environment are kept, and how the API gets them."""

from enum import StrEnum

from pydantic import Field

from biospark_operator.api.v1alpha1.formats import HttpUrl, PathSegments, SecretReference
from biospark_operator.api.v1alpha1.model import Model


class Delivery(StrEnum):
    """How the API gets its secrets."""

    DIRECT = "Direct"
    KUBERNETES_SECRET = "KubernetesSecret"  # noqa: S105 - the name of a way, not a secret
    AGENT_INJECTOR = "AgentInjector"


class Vault(Model):
    """A Vault server, or one that speaks its protocol such as OpenBao."""

    address: HttpUrl = Field(description="URL of the server, such as `https://vault.example.com:8200`.")
    namespace: PathSegments | None = Field(None, description="Vault namespace. Default: none.")
    auth_mount: PathSegments = Field(
        "kubernetes", description="Mount of the Kubernetes auth method. Default `kubernetes`."
    )
    kv_mount: PathSegments = Field("secret", description="Mount of the KV version 2 engine. Default `secret`.")
    path_prefix: PathSegments | None = Field(
        None, description="Path below which the secrets are kept. Default `biospark/<metadata.name>`."
    )
    ca_secret_ref: SecretReference | None = Field(
        None, description="Secret with the certificate authority of the server. Default key `ca.crt`."
    )
    auth_role: PathSegments = Field(description="Role with which the operator logs in.")


class Secrets(Model):
    """The secrets of the environment."""

    vault: Vault | None = Field(None, description="Vault server. Default: the platform setting of the operator.")
    delivery: Delivery = Field(
        Delivery.DIRECT,
        description="Direct: the API reads Vault itself. KubernetesSecret: the operator copies them to a Secret. "
        "AgentInjector: Vault's agent writes files into the pods. Default Direct.",
    )
