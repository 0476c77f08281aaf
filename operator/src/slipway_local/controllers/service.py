"""Services: which pods stand behind each port. Pure, apart from reading objects."""

from dataclasses import dataclass

from slipway_local.controllers.owning import is_active, is_ready
from slipway_local.objects import Objects
from slipway_operator.plan.objects import Object, labels


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where a ready pod takes traffic."""

    address: str
    port: int
    pod: str


def endpoints(objects: Objects, service: Object, port: Object) -> tuple[Endpoint, ...]:
    """Ready pods that the Service selects, which are not being deleted, for one of its ports."""
    wanted = service["spec"].get("selector") or {}
    if not wanted:
        return ()
    found = []
    for pod in objects.select("Pod", service["metadata"]["namespace"]):
        if not wanted.items() <= labels(pod).items() or not is_active(pod) or not is_ready(pod):
            continue
        number = target_port(pod, port["targetPort"])
        address = pod["status"].get("podIP")
        if number and address:
            found.append(Endpoint(address, number, pod["metadata"]["name"]))
    return tuple(sorted(found))


def target_port(pod: Object, target: int | str) -> int | None:
    """The number of a port, which may be named by a container."""
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("name") == target:
                number: int = port["containerPort"]
                return number
    return None
