"""The command line of every component, as data; nothing here starts anything."""

from pathlib import Path

from tests.cluster.files import NODE, NODE_ADDRESS, POD_NETWORK, SERVICE_NETWORK
from tests.cluster.golang import program
from tests.cluster.places import Cluster

Commands = dict[str, list[str]]


def api(cluster: Cluster) -> Commands:
    """Returns etcd and the API server."""
    return {"etcd": _etcd(cluster), "kube-apiserver": _api_server(cluster)}


def controllers(cluster: Cluster) -> Commands:
    """Returns the controller manager and the scheduler.

    Beside other clusters on the same loopback they serve no port of their own.
    """
    port = [] if cluster.node else ["--secure-port=0"]
    pki = cluster.state / "pki"
    return {
        "kube-controller-manager": [
            str(program("kube-controller-manager")),
            *_as_user(cluster, "controller-manager"),
            *port,
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--service-account-private-key-file={pki / 'service-account.key'}",
            "--horizontal-pod-autoscaler-sync-period=5s",
        ],
        "kube-scheduler": [
            str(program("kube-scheduler")),
            *_as_user(cluster, "scheduler"),
            *port,
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
    }


def runtime(cluster: Cluster) -> Commands:
    """Returns containerd."""
    return {"containerd": ["containerd", "--config", str(cluster.state / "containerd.toml")]}


def node(cluster: Cluster) -> Commands:
    """Returns the kubelet and kube-proxy."""
    return {
        "kubelet": [
            str(program("kubelet")),
            f"--config={cluster.state / 'kubelet.yaml'}",
            f"--kubeconfig={_user(cluster, 'kubelet')}",
            f"--root-dir={cluster.state / 'kubelet'}",
            f"--cert-dir={cluster.state / 'kubelet' / 'pki'}",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
        ],
        "kube-proxy": [
            str(program("kube-proxy")),
            f"--kubeconfig={_user(cluster, 'proxy')}",
            f"--hostname-override={NODE}",
            f"--cluster-cidr={POD_NETWORK}",
            "--proxy-mode=iptables",
            # A network namespace may not set the machine's limits of connection tracking.
            "--conntrack-max-per-core=0",
            "--conntrack-min=0",
        ],
    }


def _etcd(cluster: Cluster) -> list[str]:
    clients = f"http://127.0.0.1:{cluster.etcd_port}"
    peers = f"http://127.0.0.1:{cluster.peer_port}"
    return [
        str(program("etcd")),
        f"--data-dir={cluster.state / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_server(cluster: Cluster) -> list[str]:
    pki = cluster.state / "pki"
    return [
        str(program("kube-apiserver")),
        f"--etcd-servers=http://127.0.0.1:{cluster.etcd_port}",
        f"--secure-port={cluster.port}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
        f"--token-auth-file={pki / 'tokens.csv'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'service-account.pub'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        *(_with_node(pki) if cluster.node else _without_node(cluster)),
        *(_audit(cluster) if cluster.audit else []),
    ]


def _with_node(pki: Path) -> list[str]:
    return [
        f"--advertise-address={NODE_ADDRESS}",
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        # Else `kubectl logs` and `exec` look up the node's name in DNS.
        "--kubelet-preferred-address-types=InternalIP",
        "--enable-aggregator-routing",
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
    ]


def _without_node(cluster: Cluster) -> list[str]:
    """Loopback cannot be an endpoint; without controllers no service account is ever made."""
    admission = [] if cluster.controllers else ["--disable-admission-plugins=ServiceAccount"]
    return ["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none", *admission]


def _audit(cluster: Cluster) -> list[str]:
    return [
        f"--audit-policy-file={cluster.state / 'audit.yaml'}",
        f"--audit-log-path={cluster.logs / 'audit.log'}",
        "--audit-log-mode=blocking",
    ]


def _as_user(cluster: Cluster, user: str) -> list[str]:
    kubeconfig = _user(cluster, user)
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
    ]


def _user(cluster: Cluster, user: str) -> Path:
    return cluster.state / f"{user}.kubeconfig"
