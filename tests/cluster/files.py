"""The configuration files of the components, as text; nothing here touches the disk.

JSON is YAML, so what Kubernetes reads as YAML is written as JSON.
"""

import base64
import json
from pathlib import Path

NODE = "node-1"
NODE_ADDRESS = "10.200.0.2"
POD_NETWORK = "10.244.0.0/24"
SERVICE_NETWORK = "10.96.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "localhost/pause:1"


def kubeconfig(*, port: int, authority: bytes, token: str) -> str:
    """Returns a kubeconfig that carries all it needs."""
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority-data": base64.b64encode(authority).decode(),
    }
    context = {"cluster": "slipway", "user": "slipway"}
    return _json(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "slipway", "cluster": cluster}],
            "users": [{"name": "slipway", "user": {"token": token}}],
            "contexts": [{"name": "slipway", "context": context}],
            "current-context": "slipway",
        }
    )


def kubelet(state: Path, *, cgroup: str) -> str:
    """Returns the kubelet's configuration.

    A small disk must not evict the pods of a test: the limits of free space are a few hundred MiB.
    """
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": ["pods"],
            "serializeImagePulls": False,
            "clusterDomain": "cluster.local",
            "clusterDNS": [DNS_ADDRESS],
            "resolvConf": str(state / "resolv-upstream.conf"),
            "podLogsDir": str(state / "logs" / "pods"),
            "volumePluginDir": str(state / "kubelet" / "plugins"),
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(state / "pki" / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "memory.available": "200Mi",
                "nodefs.available": "200Mi",
                "imagefs.available": "200Mi",
                "nodefs.inodesFree": "1%",
            },
        }
    )


def containerd(state: Path, *, plugins: Path) -> str:
    """Returns containerd's configuration: its own root, state, socket and network plugins.

    `restrict_oom_score_adj` lets it work for a root without CAP_SYS_RESOURCE, where every sandbox
    would otherwise fail with "can't get final child's PID from pipe".
    """
    return f"""version = 2
root = "{state}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{state}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def pod_network() -> str:
    """Returns the network of the pods: one bridge, addresses from one range, host ports."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_NETWORK}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "/run/cni",
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return _json({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, portmap]})


def audit_policy() -> str:
    """Returns a policy that notes who asked for what, and no bodies."""
    return _json(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "rules": [{"level": "Metadata"}],
        }
    )


def resolver() -> str:
    """Returns the resolv.conf for programs that run inside, beside the pods."""
    return (
        f"nameserver {DNS_ADDRESS}\nsearch svc.cluster.local cluster.local\n"
        "options ndots:5 timeout:1 attempts:5\n"
    )


def _json(content: object) -> str:
    return json.dumps(content, indent=2) + "\n"
