"""Services: one stable address for users, one for each revision. Pure."""

from slipway.contract import GRPC_PORT_NAME, HTTP_PORT_NAME, Port
from slipway_operator.plan.config import Config
from slipway_operator.plan.names import child_labels, owner_reference, selector
from slipway_operator.plan.objects import Object


def service(resource: Object, *, name: str, revision: str | None, config: Config) -> Object:
    """A Service that selects one revision's pods, or with ``None`` all ready pods.

    Selectors only match equality: at rest one revision is selected, during a canary all.
    """
    meta = resource["metadata"]
    label_revision = revision if name != meta["name"] else None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": child_labels(meta["name"], revision=label_revision),
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": {
            "type": "ClusterIP",
            "selector": selector(meta["name"], revision),
            "ports": [
                {
                    "name": HTTP_PORT_NAME,
                    "port": config.http_port,
                    "targetPort": HTTP_PORT_NAME,
                    "protocol": "TCP",
                },
                {
                    "name": GRPC_PORT_NAME,
                    "port": int(Port.GRPC),
                    "targetPort": GRPC_PORT_NAME,
                    "protocol": "TCP",
                    "appProtocol": "kubernetes.io/h2c",
                },
            ],
        },
    }


def url_of(resource: Object, service_object: Object | None, config: Config) -> str:
    """Where users send predictions; by name in a cluster, by address in local mode."""
    meta = resource["metadata"]
    if config.cluster_domain:
        port = "" if config.http_port == 80 else f":{config.http_port}"
        return f"http://{meta['name']}.{meta['namespace']}.{config.cluster_domain}{port}"
    return address_of(service_object, config) if service_object else ""


def address_of(service_object: Object, config: Config) -> str:
    """``http://<cluster IP>:<port>``, which needs no DNS; empty before it has one."""
    address = service_object["spec"].get("clusterIP") or ""
    if address in ("", "None"):
        return ""
    host = f"[{address}]" if ":" in address else address
    return f"http://{host}:{config.http_port}"
