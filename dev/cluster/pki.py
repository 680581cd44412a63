"""Keys, certificates and kubeconfigs of one cluster.

One certificate authority signs what the components show each other; a second one is the issuer that
cert-manager gives out certificates from. Files are made once and made again only when they would expire within
a month or no longer name the right subject and addresses. Used by the control plane and the node.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import ipaddress
import json
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dev.cluster.instance import Instance

AUTHORITY_LIFE = datetime.timedelta(days=3650)
LEAF_LIFE = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)
USAGES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])


@dataclasses.dataclass(frozen=True)
class Subject:
    """Whom a certificate speaks for: user name, groups, and the names and addresses it serves under."""

    user: str
    groups: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


def subjects(instance: Instance) -> dict[str, Subject]:
    """Every certificate of the cluster by file name."""
    local = ("localhost", "127.0.0.1")
    node = (*local, instance.node_address, instance.node_name)
    kubernetes = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    api = (*local, *kubernetes, instance.kubernetes_service_address, instance.host_address)
    return {
        "apiserver": Subject("kube-apiserver", addresses=api),
        "apiserver-kubelet-client": Subject("kube-apiserver-kubelet-client", ("system:masters",)),
        "etcd": Subject("etcd", addresses=local),
        "front-proxy": Subject("front-proxy"),
        "admin": Subject("admin", ("system:masters",)),
        "controller-manager": Subject("system:kube-controller-manager"),
        "scheduler": Subject("system:kube-scheduler"),
        "cert-manager": Subject("cert-manager"),
        "kube-proxy": Subject("system:kube-proxy"),
        "kubelet": Subject(f"system:node:{instance.node_name}", ("system:nodes",), node),
        "coredns": Subject("system:coredns"),
        "metrics-server": Subject("system:metrics-server", addresses=(*node, "metrics-server.kube-system.svc")),
    }


def ensure(instance: Instance) -> None:
    """Make every key, certificate and kubeconfig that is missing, about to expire or no longer right."""
    authority = ensure_authority(instance.pki, "ca", f"biospark {instance.name} cluster")
    ensure_authority(instance.pki, "issuer", f"biospark {instance.name} development issuer")
    for name, subject in subjects(instance).items():
        ensure_leaf(instance.pki, name, subject, authority)
    service_accounts = instance.pki / "service-accounts.key"
    if not service_accounts.exists():
        _write_private(service_accounts, _key_pem(ec.generate_private_key(ec.SECP256R1())))


def write_kubeconfigs(instance: Instance, server: str) -> None:
    """Write the kubeconfigs of the admin and of every component that talks to the API server at `server`."""
    for name in subjects(instance):
        content = kubeconfig(instance, name, server)
        target = instance.kubeconfig if name == "admin" else instance.pki / f"{name}.kubeconfig"
        if not target.exists() or target.read_text() != content:
            _write_private(target, content.encode())


def kubeconfig(instance: Instance, name: str, server: str) -> str:
    """A self-contained kubeconfig (JSON is YAML) for the certificate `name`."""
    context = f"biospark-{instance.name}"

    def embedded(file: str) -> str:
        return base64.b64encode((instance.pki / file).read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": embedded("ca.crt")}
    user = {
        "client-certificate-data": embedded(f"{name}.crt"),
        "client-key-data": embedded(f"{name}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": name}}],
        "current-context": context,
    }
    return json.dumps(config, indent=1)


Signer = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def ensure_authority(directory: Path, name: str, common_name: str) -> Signer:
    """The certificate authority in ``<name>.crt`` and ``<name>.key``, made when it is missing."""
    certificate_file, key_file = directory / f"{name}.crt", directory / f"{name}.key"
    if certificate_file.exists() and key_file.exists():
        key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return x509.load_pem_x509_certificate(certificate_file.read_bytes()), key
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(issuer, issuer, key.public_key(), AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_private(key_file, _key_pem(key))
    _write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def ensure_leaf(directory: Path, name: str, subject: Subject, authority: Signer) -> None:
    """The certificate of `subject` in ``<name>.crt`` and ``<name>.key``, made when it is missing or not right."""
    certificate_file, key_file = directory / f"{name}.crt", directory / f"{name}.key"
    if certificate_file.exists() and key_file.exists():
        present = x509.load_pem_x509_certificate(certificate_file.read_bytes())
        if _is_right(present, subject, authority[0]):
            return
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(subject), authority[0].subject, key.public_key(), LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(authority=False), critical=True)
        # Python takes no certificate without one from 3.13 on.
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority[1].public_key()), critical=False)
        .add_extension(USAGES, critical=False)
    )
    if subject.addresses:
        builder = builder.add_extension(_alternative_names(subject), critical=False)
    certificate = builder.sign(authority[1], hashes.SHA256())
    _write_private(key_file, _key_pem(key))
    _write_private(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))


def _is_right(certificate: x509.Certificate, subject: Subject, authority: x509.Certificate) -> bool:
    """Whether a certificate is ours, names exactly this subject and lives on for a while."""
    try:
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = None
    except Exception:  # whatever is wrong with the signature, the answer is a new certificate
        return False
    right_names = names == _alternative_names(subject) if subject.addresses else names is None
    lasts = certificate.not_valid_after_utc - RENEW_BEFORE > datetime.datetime.now(datetime.UTC)
    return certificate.subject == _name(subject) and right_names and lasts


def _name(subject: Subject) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in subject.groups]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, subject.user)])


def _alternative_names(subject: Subject) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = []
    for address in subject.addresses:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        except ValueError:
            names.append(x509.DNSName(address))
    return x509.SubjectAlternativeName(names)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: datetime.timedelta
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))  # clocks of containers may lag a little
        .not_valid_after(now + life)
    )


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    # The older PKCS#1-like form: it is the one the API server reads service account keys in.
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _write_private(target: Path, content: bytes) -> None:
    """Write a file that only its owner may read, atomically."""
    temporary = target.with_name(f"{target.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as output:
        output.write(content)
    temporary.replace(target)
