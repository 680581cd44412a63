"""The control plane: etcd, API server, controller manager, scheduler, cert-manager. Needs no root.

`commands` are the exact command lines, pure and tested; `start` brings them up in the order they need each
other, applies the definitions and the objects every environment expects: the namespace ``biospark-platform``
and the ClusterIssuer ``biospark-ca``. Called by the local provider.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Sequence

from dev.cluster import crds, pki, programs
from dev.cluster import instance as instances
from dev.cluster.api import Api, Manifest, has_condition
from dev.cluster.instance import Instance
from dev.cluster.process import Command, Components

PLATFORM_NAMESPACE = "biospark-platform"
ISSUER = "biospark-ca"
ISSUER_NAMESPACE = "cert-manager"
NODE_PREFIX_LENGTH = 20  # one node gets 4096 of the pod addresses
API_GRACE_SECONDS = 3  # it would drain for a minute, and every client here retries
ORDER = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "cert-manager")


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """Where the API server listens: on loopback, or on the link where pods reach it as well."""

    address: str
    port: int

    @property
    def url(self) -> str:
        """Address for kubeconfigs."""
        return f"https://{self.address}:{self.port}"


def endpoint(instance: Instance, with_node: bool) -> Endpoint:
    """The API server's address for a cluster with or without a node."""
    return Endpoint(instance.host_address if with_node else "127.0.0.1", instance.ports.api)


def start(instance: Instance, components: Components, with_node: bool, report: Callable[[str], None]) -> Instance:
    """Bring the control plane up, or what is missing of it; returns the instance with the ports it uses."""
    definitions = crds.ensure(report)
    instance = with_usable_ports(instance, components)
    where = endpoint(instance, with_node)
    pki.ensure(instance)
    pki.write_kubeconfigs(instance, where.url)
    commands = {command.name: command for command in all_commands(instance, where)}

    components.bring_up(commands["etcd"], lambda: not instances.port_is_free(instance.ports.etcd), 30)
    with Api(instance.kubeconfig) as api:
        started = components.bring_up(commands["kube-apiserver"], api.is_ready, 90)
        report(f"API server {'started' if started else 'runs'} at {where.url}")
        crds.apply(api, definitions)
        # After the definitions, so that the garbage collector knows every kind from its first minute.
        for name in ("kube-controller-manager", "kube-scheduler", "cert-manager"):
            components.ensure(commands[name])
        furnish(instance, api)
    return instance


def stop(components: Components) -> None:
    """Stop the control plane, servers last."""
    for name in reversed(ORDER):
        components.stop(name, grace=API_GRACE_SECONDS)


def furnish(instance: Instance, api: Api) -> None:
    """Create the objects that every environment expects, and wait until certificates can be issued."""
    for manifest in furniture(instance):
        api.apply(manifest)
    path = f"/apis/cert-manager.io/v1/clusterissuers/{ISSUER}"
    api.await_object(path, has_condition("Ready"), 60, f"ClusterIssuer {ISSUER} being ready")
    account = f"/api/v1/namespaces/{PLATFORM_NAMESPACE}/serviceaccounts/default"
    api.await_object(account, lambda _: True, 30, "the controller manager creating service accounts")


def furniture(instance: Instance) -> list[Manifest]:
    """Namespaces, the rights of cert-manager, and the issuer with its key pair."""

    def encoded(file: str) -> str:
        return base64.b64encode((instance.pki / file).read_bytes()).decode()

    return [
        *(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in (PLATFORM_NAMESPACE, ISSUER_NAMESPACE)
        ),
        binding("cert-manager", role="cluster-admin", user="cert-manager"),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": ISSUER, "namespace": ISSUER_NAMESPACE},
            "type": "kubernetes.io/tls",
            "data": {"tls.crt": encoded("issuer.crt"), "tls.key": encoded("issuer.key")},
        },
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "ClusterIssuer",
            "metadata": {"name": ISSUER},
            "spec": {"ca": {"secretName": ISSUER}},
        },
    ]


def binding(name: str, role: str, user: str) -> Manifest:
    """A ClusterRoleBinding of one component's user."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"biospark-dev:{name}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


def with_usable_ports(instance: Instance, components: Components) -> Instance:
    """The instance, with new ports if somebody else took one of its ports while its servers were down."""
    held = {"etcd": ("etcd", "etcd_peer"), "kube-apiserver": ("api",)}
    ports = dataclasses.asdict(instance.ports)
    lost = [
        port
        for component, names in held.items()
        if components.pid(component) is None
        for port in names
        if not instances.port_is_free(ports[port])
    ]
    if not lost:
        return instance
    fresh = dataclasses.asdict(instances.choose_ports(instance.name))
    changed = dataclasses.replace(instance, ports=instances.Ports(**{**ports, **{name: fresh[name] for name in lost}}))
    instances.save(changed)
    return changed


def all_commands(instance: Instance, where: Endpoint) -> list[Command]:
    """The command lines of all components."""
    return [
        etcd(instance),
        apiserver(instance, where),
        controller_manager(instance),
        _command("kube-scheduler", kubeconfig=_kubeconfig(instance, "scheduler"), secure_port=0, leader_elect=False),
        _command(
            "cert-manager",
            kubeconfig=_kubeconfig(instance, "cert-manager"),
            cluster_resource_namespace=ISSUER_NAMESPACE,
        ),
    ]


def etcd(instance: Instance) -> Command:
    """etcd with mutual TLS on loopback. Without fsync: a power cut may cost the cluster, which is made anew."""
    client = f"https://127.0.0.1:{instance.ports.etcd}"
    peer = f"https://127.0.0.1:{instance.ports.etcd_peer}"
    certificates = _tls(instance, "etcd", "cert_file", "key_file") | {
        "trusted_ca_file": instance.pki / "ca.crt",
        "client_cert_auth": True,
    }
    return _command(
        "etcd",
        name="biospark",
        data_dir=instance.directory / "etcd",
        listen_client_urls=client,
        advertise_client_urls=client,
        listen_peer_urls=peer,
        initial_advertise_peer_urls=peer,
        initial_cluster=f"biospark={peer}",
        unsafe_no_fsync=True,
        auto_compaction_mode="revision",
        auto_compaction_retention=10000,
        **certificates,
        **{f"peer_{name}": value for name, value in certificates.items()},
    )


def apiserver(instance: Instance, where: Endpoint) -> Command:
    """The API server. On loopback there are no pods to advertise to, and Kubernetes refuses such an endpoint."""
    loopback = where.address.startswith("127.")
    return _command(
        "kube-apiserver",
        bind_address=where.address,
        advertise_address=where.address,
        secure_port=where.port,
        endpoint_reconciler_type="none" if loopback else "lease",
        etcd_servers=f"https://127.0.0.1:{instance.ports.etcd}",
        etcd_cafile=instance.pki / "ca.crt",
        **_tls(instance, "etcd", "etcd_certfile", "etcd_keyfile"),
        service_cluster_ip_range=instance.service_cidr,
        client_ca_file=instance.pki / "ca.crt",
        **_tls(instance, "apiserver", "tls_cert_file", "tls_private_key_file"),
        service_account_key_file=instance.pki / "service-accounts.key",
        service_account_signing_key_file=instance.pki / "service-accounts.key",
        service_account_issuer="https://kubernetes.default.svc.cluster.local",
        authorization_mode="Node,RBAC",
        # The second one is what OpenShift has: who lets an object block its owner's deletion needs a right for it.
        enable_admission_plugins="NodeRestriction,OwnerReferencesPermissionEnforcement",
        **_tls(instance, "apiserver-kubelet-client", "kubelet_client_certificate", "kubelet_client_key"),
        kubelet_certificate_authority=instance.pki / "ca.crt",
        kubelet_preferred_address_types="InternalIP",
        allow_privileged=True,
        enable_aggregator_routing=True,
        requestheader_client_ca_file=instance.pki / "ca.crt",
        requestheader_allowed_names="front-proxy",
        requestheader_username_headers="X-Remote-User",
        requestheader_group_headers="X-Remote-Group",
        requestheader_extra_headers_prefix="X-Remote-Extra-",
        **_tls(instance, "front-proxy", "proxy_client_cert_file", "proxy_client_key_file"),
        shutdown_delay_duration="0s",
    )


def controller_manager(instance: Instance) -> Command:
    """The controller manager; nobody asks it anything, so it opens no port."""
    return _command(
        "kube-controller-manager",
        kubeconfig=_kubeconfig(instance, "controller-manager"),
        secure_port=0,
        leader_elect=False,
        # Its own limit, 20 requests a second for each controller, would be what tests wait for.
        kube_api_qps=500,
        kube_api_burst=1000,
        use_service_account_credentials=True,
        allocate_node_cidrs=True,
        cluster_cidr=instance.pod_cidr,
        node_cidr_mask_size=NODE_PREFIX_LENGTH,
        service_cluster_ip_range=instance.service_cidr,
        root_ca_file=instance.pki / "ca.crt",
        service_account_private_key_file=instance.pki / "service-accounts.key",
        **_tls(instance, "ca", "cluster_signing_cert_file", "cluster_signing_key_file"),
    )


def _command(program: str, **flags: object) -> Command:
    """A component's command line; the file name of a program is the component's name."""
    return Command(program, (str(programs.binary(program)), *arguments(**flags)))


def arguments(**flags: object) -> Sequence[str]:
    """Keyword arguments as long options: ``secure_port=0`` is ``--secure-port=0``, True is ``=true``."""
    written = {True: "true", False: "false"}
    return [
        f"--{name.replace('_', '-')}={written[value] if isinstance(value, bool) else value}"
        for name, value in flags.items()
    ]


def _tls(instance: Instance, pair: str, certificate_flag: str, key_flag: str) -> dict[str, object]:
    return {certificate_flag: instance.pki / f"{pair}.crt", key_flag: instance.pki / f"{pair}.key"}


def _kubeconfig(instance: Instance, name: str) -> object:
    return instance.pki / f"{name}.kubeconfig"
