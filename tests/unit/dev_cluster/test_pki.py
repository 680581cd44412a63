"""Certificates name the right subjects and addresses, and are made again only when they do not."""

import base64
import dataclasses
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from cryptography.x509.verification import PolicyBuilder, Store

from dev.cluster import pki
from dev.cluster.instance import Instance, Ports


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    found = Instance("test", tmp_path, 3, Ports(20001, 20002, 20003))
    found.pki.mkdir()
    return found


def certificate(instance: Instance, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((instance.pki / f"{name}.crt").read_bytes())


def names(instance: Instance, name: str) -> set[str]:
    extension = certificate(instance, name).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(entry.value) for entry in extension.value}


def test_the_api_server_serves_under_every_name_it_is_called_by(instance: Instance) -> None:
    pki.ensure(instance)
    assert names(instance, "apiserver") == {
        "localhost",
        "127.0.0.1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "10.179.0.1",
        "10.208.3.1",
    }


def test_certificates_pass_the_strictest_check(instance: Instance) -> None:
    pki.ensure(instance)
    policy = PolicyBuilder().store(Store([certificate(instance, "ca")]))
    for name in ("kubernetes", "localhost"):
        assert policy.build_server_verifier(x509.DNSName(name)).verify(certificate(instance, "apiserver"), [])


def test_the_kubelet_is_the_node_it_registers_as(instance: Instance) -> None:
    pki.ensure(instance)
    subject = certificate(instance, "kubelet").subject
    assert subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:biospark-test"
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"


def test_certificates_stay_as_they_are(instance: Instance) -> None:
    pki.ensure(instance)
    before = {path: path.read_bytes() for path in instance.pki.iterdir()}
    pki.ensure(instance)
    assert {path: path.read_bytes() for path in instance.pki.iterdir()} == before


def test_a_certificate_for_another_address_is_made_again_by_the_same_authority(instance: Instance) -> None:
    pki.ensure(instance)
    authority, admin = certificate(instance, "ca"), certificate(instance, "admin")
    moved = dataclasses.replace(instance, index=4)
    pki.ensure(moved)
    assert "10.208.4.1" in names(moved, "apiserver")
    assert (certificate(moved, "ca"), certificate(moved, "admin")) == (authority, admin)


def test_a_certificate_about_to_expire_is_made_again(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as short:
        short.setattr(pki, "LEAF_LIFE", pki.RENEW_BEFORE / 2)
        pki.ensure(instance)
    before = certificate(instance, "etcd")
    pki.ensure(instance)
    assert certificate(instance, "etcd").not_valid_after_utc > before.not_valid_after_utc


def test_a_new_authority_makes_every_certificate_again(instance: Instance) -> None:
    pki.ensure(instance)
    (instance.pki / "ca.key").unlink()
    pki.ensure(instance)
    for name in pki.subjects(instance):
        certificate(instance, name).verify_directly_issued_by(certificate(instance, "ca"))


def test_only_the_owner_reads_keys_and_kubeconfigs(instance: Instance) -> None:
    pki.ensure(instance)
    pki.write_kubeconfigs(instance, "https://127.0.0.1:20001")
    for path in [instance.kubeconfig, *instance.pki.iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_kubeconfig_needs_no_other_file(instance: Instance) -> None:
    pki.ensure(instance)
    pki.write_kubeconfigs(instance, "https://127.0.0.1:20001")
    config = json.loads(instance.kubeconfig.read_text())
    assert config["current-context"] == "biospark-test"
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:20001"
    embedded = base64.b64decode(config["users"][0]["user"]["client-certificate-data"])
    assert embedded == (instance.pki / "admin.crt").read_bytes()
