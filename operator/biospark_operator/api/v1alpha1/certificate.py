"""`spec.certificate`: the TLS certificate of the public name, issued by cert-manager."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from biospark_operator.api.v1alpha1.constraints import Text, Unique
from biospark_operator.api.v1alpha1.durations import Between
from biospark_operator.api.v1alpha1.formats import DnsName, ObjectName
from biospark_operator.api.v1alpha1.model import Model, Rule

IssuerKind = Annotated[
    str,
    Text("write the kind of the issuer, such as ClusterIssuer", pattern="^[A-Z][A-Za-z0-9]*$", max_length=63),
]
CertificateName = Annotated[
    str,
    Text(
        "write a DNS name in lower case such as api.example.com, or a wildcard such as *.example.com",
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
        max_length=253,
    ),
]


class IssuerReference(Model):
    """The cert-manager issuer that signs the certificate."""

    name: ObjectName = Field(description="Name of the issuer.")
    kind: IssuerKind = Field(
        "ClusterIssuer", description="Kind of the issuer: ClusterIssuer or Issuer. Default ClusterIssuer."
    )
    group: DnsName = Field("cert-manager.io", description="API group of the issuer. Default `cert-manager.io`.")


class KeyAlgorithm(StrEnum):
    """Algorithm of the private key."""

    ECDSA = "ECDSA"
    RSA = "RSA"
    ED25519 = "Ed25519"


KEY_SIZES = {
    KeyAlgorithm.ECDSA: (256, 384, 521),
    KeyAlgorithm.RSA: (2048, 3072, 4096, 8192),
    KeyAlgorithm.ED25519: (),
}


class PrivateKey(Model):
    """The private key of the certificate; a new one is made at every renewal."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "size",
            "write 256, 384 or 521 for ECDSA, 2048, 3072, 4096 or 8192 for RSA, and no size for Ed25519",
            cel="!has(self.size) || (has(self.algorithm) && self.algorithm != 'ECDSA' ? self.algorithm == 'RSA' && "
            "self.size in [2048, 3072, 4096, 8192] : self.size in [256, 384, 521])",
            holds=lambda s: s.size is None or s.size in KEY_SIZES[s.algorithm],
        ),
    )

    algorithm: KeyAlgorithm = Field(KeyAlgorithm.ECDSA, description="ECDSA, RSA or Ed25519. Default ECDSA.")
    size: int | None = Field(
        None,
        ge=256,
        le=8192,
        description="Size in bits. Default 256 for ECDSA, 2048 for RSA; refused for Ed25519.",
    )


class Certificate(Model):
    """The certificate of the public name."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "renewBefore",
            "write a renewBefore that is shorter than duration (default 2160h), so that renewal comes before expiry",
            cel="(has(self.renewBefore) ? duration(self.renewBefore) : duration('720h')) < (has(self.duration) ? "
            "duration(self.duration) : duration('2160h'))",
            holds=lambda s: s.renew_before < s.duration,
        ),
    )

    issuer_ref: IssuerReference | None = Field(
        None, description="Issuer that signs the certificate. Default: the platform setting of the operator."
    )
    dns_names: Annotated[tuple[CertificateName, ...], Unique(32)] = Field(
        (), description="Names in the certificate. Default: `spec.host`."
    )
    duration: Annotated[timedelta, Between("1h", "87600h")] = Field(
        timedelta(hours=2160),
        description="Lifetime of a certificate, `1h` to `87600h`. Default `2160h` (90 days).",
    )
    renew_before: Annotated[timedelta, Between("5m", "87600h")] = Field(
        timedelta(hours=720),
        description="How long before expiry it is renewed; shorter than `duration`. Default `720h` (30 days).",
    )
    private_key: PrivateKey = Field(default_factory=PrivateKey, description="The private key.")
